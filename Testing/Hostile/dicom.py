"""Hostile folders of DICOM slices: a small series whose elements, lengths and slices are changed."""

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, cut, damaged, flipped, pick
from Hostile.place import SIZE, Place

# Representations whose length takes four bytes, after two that are reserved.
_LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT", b"OD", b"UC", b"UR", b"OL")
_PREAMBLE = 132
_SERIES = "1.2.826.0.1.3680043.2.1125.9"
_SYNTAX, _PIXELS = (0x0002, 0x0010), (0x7FE0, 0x0010)
_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"),
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.100", "1.2.3", ""),
)
# What a reader's arithmetic rests on: sides, bits, samples, frames, positions, spacings, rescaling.
_NUMBERS = {
    (0x0028, 0x0010): b"US",
    (0x0028, 0x0011): b"US",
    (0x0028, 0x0100): b"US",
    (0x0028, 0x0101): b"US",
    (0x0028, 0x0102): b"US",
    (0x0028, 0x0103): b"US",
    (0x0028, 0x0002): b"US",
    (0x0028, 0x0006): b"US",
    (0x0028, 0x0008): b"IS",
    (0x0028, 0x1052): b"DS",
    (0x0028, 0x1053): b"DS",
    (0x0028, 0x0030): b"DS",
    (0x0018, 0x0050): b"DS",
    (0x0018, 0x0088): b"DS",
    (0x0018, 0x1164): b"DS",
    (0x0020, 0x0032): b"DS",
    (0x0020, 0x0037): b"DS",
    (0x0020, 0x0013): b"IS",
    (0x0054, 0x0081): b"US",
    (0x3004, 0x000C): b"DS",
}
_TEXTS = {
    (0x0008, 0x0005): b"CS",
    (0x0008, 0x0016): b"UI",
    (0x0008, 0x0018): b"UI",
    (0x0008, 0x0060): b"CS",
    (0x0010, 0x0010): b"PN",
    (0x0020, 0x000D): b"UI",
    (0x0020, 0x000E): b"UI",
    (0x0028, 0x0004): b"CS",
}

Element = tuple[tuple[int, int], bytes, bytes]
"""Group and number, representation, value."""


class Series:
    """Makes hostile folders; the sound series is written once, by ITK."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="sacb-dicom-") as folder:
            self._slices = [_elements(path.read_bytes()) for path in _write_series(Path(folder))]

    def write(self, rng: Random, place: Place) -> Path:
        """Writes one hostile folder, or one file of it, and returns its path."""
        explicit = rng.random() < 0.6
        written = b"1.2.840.10008.1.2.1" if explicit else b"1.2.840.10008.1.2"
        slices = [_with(each, _SYNTAX, b"UI", written) for each in self._slices]
        everywhere = rng.random() < 0.4
        for _ in range(int(rng.integers(0, 3))):
            change = pick(rng, (_other_number, _other_number, _other_text, _without, _other_syntax, _nested))
            state = rng.bit_generator.state
            for number in range(len(slices)) if everywhere else [int(rng.integers(len(slices)))]:
                if everywhere:
                    # The same change in every slice.
                    rng.bit_generator.state = state
                slices[number] = change(slices[number], rng)
        wrong = int(rng.integers(len(slices))) if rng.random() < 0.15 else None
        files = [
            _bytes(each, explicit, _one_length(rng) if number == wrong else None)
            for number, each in enumerate(slices)
        ]
        if rng.random() < 0.3:
            number = int(rng.integers(len(files)))
            files[number] = pick(rng, _DAMAGES)(files[number], rng)
        if rng.random() < 0.2:
            path = place.inside / pick(rng, ("case.dcm", "case"))
            path.write_bytes(pick(rng, files))
            return path
        _save(_other_slices(files, rng), place.inside, rng)
        return place.inside


def _write_series(folder: Path) -> list[Path]:
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    values = np.random.default_rng(0).integers(-500, 500, SIZE[::-1]).astype(np.int16)
    paths = []
    for number, plane in enumerate(values):
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing((1.1, 1.7, 2.3))
        for key, value in {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.7.{number + 1}",
            "0010|0010": "A^B",
            "0020|000d": _SERIES,
            "0020|000e": f"{_SERIES}.1",
            "0020|0013": str(number + 1),
            "0020|0032": f"5\\-6\\{7 + 2.3 * number:.4f}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "2.3",
        }.items():
            image.SetMetaData(key, value)
        paths.append(folder / f"{number}.dcm")
        writer.SetFileName(str(paths[-1]))
        writer.Execute(image)
    return paths


def _elements(content: bytes) -> list[Element]:
    """Returns the elements of a file as ITK writes it: after group 2 without representations, none nested."""
    found, place = [], _PREAMBLE
    while place < len(content):
        key = struct.unpack_from("<HH", content, place)
        if key[0] == 2:
            kind = content[place + 4 : place + 6]
            place += 12 if kind in _LONG else 8
            (length,) = struct.unpack_from(
                "<I" if kind in _LONG else "<H", content, place - (4 if kind in _LONG else 2)
            )
        else:
            kind = {**_NUMBERS, **_TEXTS, _PIXELS: b"OW"}.get(key, b"UN")
            (length,) = struct.unpack_from("<I", content, place + 4)
            place += 8
        found.append((key, kind, content[place : place + length]))
        place += length
    return found


def _bytes(elements: list[Element], explicit: bool, wrong_length: tuple[int, int] | None) -> bytes:
    """Returns the file of some elements, the length of one of them as it is claimed."""
    parts = [bytes(128) + b"DICM"]
    for place, (key, kind, value) in enumerate(elements):
        length = len(value)
        if wrong_length is not None and place == wrong_length[0] % len(elements):
            length = wrong_length[1]
        head = struct.pack("<HH", *key)
        if not explicit and key[0] != 2:
            head += struct.pack("<I", length % 2**32)
        elif kind in _LONG:
            head += kind + bytes(2) + struct.pack("<I", length % 2**32)
        else:
            head += kind + struct.pack("<H", length % 2**16)
        parts.append(head + value)
    return b"".join(parts)


def _one_length(rng: Random) -> tuple[int, int]:
    return int(rng.integers(1000)), pick(rng, (*WHOLE_NUMBERS, 2**32 - 2, 2**31 - 2))


def _with(elements: list[Element], key: tuple[int, int], kind: bytes, value: bytes) -> list[Element]:
    """Returns the elements with another value, in order."""
    others = [element for element in elements if element[0] != key]
    return sorted([*others, (key, kind, value + b" " * (len(value) % 2))], key=lambda element: element[0])


def _other_number(elements: list[Element], rng: Random) -> list[Element]:
    key = pick(rng, list(_NUMBERS))
    kind = _NUMBERS[key]
    if kind == b"US":
        return _with(elements, key, kind, struct.pack("<H", int(pick(rng, WHOLE_NUMBERS)) % 2**16))
    number = lambda: str(pick(rng, (*WHOLE_NUMBERS, *REAL_NUMBERS, "x", "", "1e999", "9" * 400)))  # noqa: E731
    text = "\\".join(number() for _ in range(int(rng.integers(8)))) if rng.random() < 0.7 else number()
    return _with(elements, key, kind, text.encode()[: 2**15])


def _other_text(elements: list[Element], rng: Random) -> list[Element]:
    key = pick(rng, list(_TEXTS))
    value = pick(
        rng, (b"", b"\0", b"x" * 300, b"x" * 60_000, b"\xff\xfe", b"a\nb", b"../../x", b"RGB", b"1.2")
    )
    return _with(elements, key, _TEXTS[key], value)


def _without(elements: list[Element], rng: Random) -> list[Element]:
    gone = int(rng.integers(len(elements)))
    return [element for place, element in enumerate(elements) if place != gone]


def _other_syntax(elements: list[Element], rng: Random) -> list[Element]:
    """Claims another packing of the voxels, and most often packs them as far as their frame goes."""
    changed = _with(elements, _SYNTAX, b"UI", pick(rng, _SYNTAXES).encode())
    if rng.random() < 0.6:
        starts = (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xf7", b"\xff\x4f\xff\x51", b"\x01\0\0\0\x40\0\0\0", b"")
        fragment = pick(rng, starts) + rng.bytes(int(rng.integers(200)) * 2)
        item = b"\xfe\xff\x00\xe0"
        packed = item + bytes(4) + item + struct.pack("<I", len(fragment)) + fragment
        pixels = packed + b"\xfe\xff\xdd\xe0" + bytes(4)
        changed = _with(changed, _PIXELS, b"OB", pixels)
    return changed


def _nested(elements: list[Element], rng: Random) -> list[Element]:
    """Adds sequences within sequences, without an end where they claim none."""
    depth = int(rng.integers(1, 12)) if rng.random() < 0.7 else int(10 ** rng.uniform(0, 3.7))
    begin = b"\x08\x00\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    end = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
    inner = begin * depth + end * (depth if rng.random() < 0.7 else 0)
    # An item of its own holds what is nested.
    value = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
    return _with(elements, (0x0008, 0x1140), b"SQ", value)


def _noise(content: bytes, rng: Random) -> bytes:
    return rng.bytes(int(rng.integers(1, 3000)))


def _header_bits(content: bytes, rng: Random) -> bytes:
    return content[:_PREAMBLE] + flipped(content[_PREAMBLE:], rng)


_DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (damaged, cut, _noise, _header_bits, _header_bits)


def _other_slices(files: list[bytes], rng: Random) -> list[bytes]:
    """Returns the slices, now and then some of them gone, doubled, or of another series."""
    chance, number = rng.random(), int(rng.integers(len(files)))
    if chance < 0.08:
        return files[:number] + files[number + 1 :]
    if chance < 0.16:
        return [*files, files[number]]
    if chance < 0.22:
        other = [content.replace(f"{_SERIES}.1".encode(), f"{_SERIES}.2".encode()) for content in files]
        return files[:number] + other[number:] if rng.random() < 0.5 else files + other
    if chance < 0.24:
        return [files[number]]
    return files


def _save(files: list[bytes], folder: Path, rng: Random) -> None:
    for number, content in enumerate(files):
        (folder / pick(rng, (f"{number}.dcm", f"IM{number}", f"b {number}"))).write_bytes(content)
    chance = rng.random()
    if chance < 0.03:
        (folder / "DICOMDIR").write_bytes(damaged(files[0], rng))
    elif chance < 0.06:
        (folder / "inner").mkdir()
        (folder / "inner" / "0.dcm").write_bytes(files[0])
    elif chance < 0.09:
        (folder / "notes.txt").write_bytes(rng.bytes(30))
