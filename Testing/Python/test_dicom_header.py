"""DICOM files in every form that images come in are read; what GDCM trusts too easily is refused before."""

import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from test_reading import write_dicom

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging import dicom
from SACBRegistrationLib.imaging.dicom_header import dicom_header
from SACBRegistrationLib.imaging.file_claims import ClaimError
from SACBRegistrationLib.imaging.reading import read_volume

IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
SIZE = (7, 6)
VALUES = np.arange(42, dtype=np.int16).reshape(SIZE[::-1]) - 20
LONG = ("OB", "OW", "SQ", "UN")


def element(tag: int, kind: str, value: bytes, order: str = "<", explicit: bool = True, length=None) -> bytes:
    value += b" " * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(order + "I", length) + value
    if kind in LONG:
        return head + kind.encode() + bytes(2) + struct.pack(order + "I", length) + value
    return head + kind.encode() + struct.pack(order + "H", length) + value


def content(
    syntax: str = EXPLICIT, z: float = 7.0, more: bytes = b"", skip: tuple = (), pixels=None, **numbers
) -> bytes:
    """Returns one slice; `more` stands before the series, `pixels` for the element of the voxels."""
    order, explicit = ">" if syntax == BIG else "<", syntax != IMPLICIT
    sides = {"samples": 1, "rows": SIZE[1], "columns": SIZE[0], "bits": 16, **numbers}
    whole = {name: struct.pack(order + "H", value) for name, value in sides.items() if name != "frames"}
    parts = [
        (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
        (0x00080018, "UI", f"1.2.3.{z}\0".encode()),
        (0x0020000D, "UI", b"1.2.3\0"),
        (0x0020000E, "UI", b"1.2.3.4\0"),
        (0x00200032, "DS", f"5\\-6\\{z}".encode()),
        (0x00200037, "DS", b"1\\0\\0\\0\\1\\0"),
        (0x00280002, "US", whole["samples"]),
        (0x00280004, "CS", b"MONOCHROME2"),
        *([(0x00280008, "IS", str(numbers["frames"]).encode())] if "frames" in numbers else []),
        (0x00280010, "US", whole["rows"]),
        (0x00280011, "US", whole["columns"]),
        (0x00280030, "DS", b"1.7\\1.1"),
        (0x00280100, "US", whole["bits"]),
        (0x00280101, "US", struct.pack(order + "H", 16)),
        (0x00280102, "US", struct.pack(order + "H", 15)),
        (0x00280103, "US", struct.pack(order + "H", 1)),
    ]
    made = [element(*part, order, explicit) for part in parts if part[0] not in skip]
    made.insert(2, more)
    voxels = VALUES.astype(order + "i2").tobytes()
    body = b"".join(made) + (element(0x7FE00010, "OW", voxels, order, explicit) if pixels is None else pixels)
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    return (
        bytes(128) + b"DICM" + element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2)) + body
    )


def items(depth: int) -> bytes:
    """Returns sequences within sequences, none of which tells its length."""
    begin = b"\x08\x00\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    end = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
    return begin * depth + element(0x00081150, "UI", b"1.2\0") + end * depth


def fragments(*pieces: bytes) -> bytes:
    packed = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(piece)) + piece for piece in (b"", *pieces))
    return element(0x7FE00010, "OB", packed + b"\xfe\xff\xdd\xe0" + bytes(4), length=0xFFFFFFFF)


def save(folder, contents: list[bytes]):
    for number, each in enumerate(contents):
        # Names in reverse order show that the positions decide.
        (folder / f"{900 - number}.dcm").write_bytes(each)
    return folder


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_volume(path, "fixed")
    message = str(caught.value)
    assert message.startswith(f"The fixed image ({path}) ") and "\n" not in message and message.endswith(".")
    return message


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_every_coding_is_read_as_simpleitk_reads_it(tmp_path, syntax):
    files = save(tmp_path, [content(syntax, 7 + 2.3 * number) for number in range(5)])
    read = read_volume(files, "fixed")
    assert read.GetSize() == (*SIZE, 5)
    np.testing.assert_allclose(read.GetSpacing(), (1.1, 1.7, 2.3))
    np.testing.assert_allclose(read.GetOrigin(), (5, -6, 7))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), np.stack([VALUES] * 5))
    header = dicom_header(tmp_path / "900.dcm")
    assert header.series == "1.2.3.4" and header.position == (5.0, -6.0, 7.0) and header.has_pixels


def test_packed_voxels_are_read(tmp_path):
    image = sitk.GetImageFromArray(np.stack([VALUES] * 5))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    for number in range(5):
        one = image[:, :, number : number + 1]
        for key, value in {
            "0020|000e": "1.2.3",
            "0020|0032": f"0\\0\\{number}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():
            one.SetMetaData(key, value)
        writer.SetFileName(str(tmp_path / f"{number}.dcm"))
        writer.Execute(one)
    assert b"\xfe\xff\xdd\xe0" in (tmp_path / "0.dcm").read_bytes(), "the voxels are not packed"
    read = read_volume(tmp_path, "fixed")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))


def test_the_order_is_that_of_gdcm(tmp_path):
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (9, 6, 7)).astype(np.int16))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    write_dicom(image, tmp_path)
    theirs = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    (slices,) = dicom._series_of(tmp_path).values()
    assert dicom._by_position(slices) == list(theirs) and len(theirs) == 9


def test_what_else_lies_in_the_folder_is_left_alone(tmp_path):
    save(tmp_path, [content(z=7 + 2.3 * number) for number in range(5)])
    directory = bytes(128) + b"DICM" + element(0x00020010, "UI", EXPLICIT.encode() + b"\0")
    (tmp_path / "DICOMDIR").write_bytes(directory + element(0x00041130, "CS", b"DISK"))
    (tmp_path / "notes.txt").write_bytes(b"taken on Monday")
    (tmp_path / "inner").mkdir()
    assert read_volume(tmp_path, "fixed").GetSize() == (*SIZE, 5)


def test_sequences_are_followed_as_deep_as_images_have_them(tmp_path):
    assert dicom_header(save(tmp_path, [content(more=items(6))]) / "900.dcm").has_pixels
    # GDCM would need an hour for the first of these, and a stack without end for the second.
    for depth in (12, 5000):
        (tmp_path / "900.dcm").write_bytes(content(more=items(depth)))
        with pytest.raises(ClaimError, match="nests its elements deeper"):
            dicom_header(tmp_path / "900.dcm")


HOSTILE = {
    "more rows than voxels": content(rows=6000, columns=60000),
    "more frames than voxels": content(frames=10**9),
    "frames in words": content(frames="many"),
    "wider voxels": content(bits=64),
    "an element longer than the file": content(more=element(0x00081140, "UN", b"ab", length=2**31)),
    "an element without end": content(more=element(0x00081140, "OB", b"ab", length=0xFFFFFFFF)),
    "an unknown kind of element": content(more=b"\x08\x00\x40\x11??\x02\x00ab"),
    "an item longer than its sequence": content(
        more=element(0x00081140, "SQ", b"\xfe\xff\x00\xe0" + struct.pack("<I", 99))
    ),
    "an item outside a sequence": content(more=b"\xfe\xff\x00\xe0" + bytes(4)),
    "voxels that are not packed as they are called": content("1.2.840.10008.1.2.5"),
    "packed voxels in a plain file": content(pixels=fragments(bytes(84))),
    "packed voxels without an end": content("1.2.840.10008.1.2.5", pixels=fragments(bytes(84))[:-8]),
    "too few packed voxels": content(
        "1.2.840.10008.1.2.5", rows=60000, columns=60000, pixels=fragments(bytes(64))
    ),
    "another coding than it says": content().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"),
    "no coding where it says one": content(IMPLICIT).replace(
        b"UI\x12\x001.2.840.10008.1.2\0", b"UI\x14\x001.2.840.10008.1.2.1\0"
    ),
    "no voxels": content(pixels=b""),
    "a deflated bomb": content(DEFLATED, more=element(0x00081140, "UN", bytes(10**6))),
    "half of it": content()[:300],
}  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_true_is_refused_in_a_folder_and_alone(tmp_path, capfd, hostile):
    (tmp_path / "alone.dcm").write_bytes(hostile)
    (tmp_path / "series").mkdir()
    slices = [content(z=7 + 2.3 * number) for number in range(5)]
    assert "a slice is damaged" in refusal(save(tmp_path / "series", [*slices[:2], hostile, *slices[3:]]))
    refusal(tmp_path / "alone.dcm")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("z", ["nan", "inf", "x", ""])
def test_positions_that_are_no_numbers_are_refused(tmp_path, z):
    slices = [content(z=7 + 2.3 * number) for number in range(5)]
    other = content(z=0.0).replace(b"5\\-6\\0.0", f"5\\-6\\{z:3.3}".encode())
    assert "unevenly spaced" in refusal(save(tmp_path, [*slices[:2], other, *slices[3:]]))
