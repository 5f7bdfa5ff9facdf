"""Hostile NIfTI files: .nii, .nii.gz, NIfTI-2 and pairs, with fields that lie about the file."""

import gzip
import struct
from pathlib import Path

import numpy as np
from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, damaged, flipped, pick
from Hostile.place import SIZE, Place

# Name: (offset, format of struct, how many) in the header of NIfTI-1 and of NIfTI-2.
_FIELDS = {
    1: {
        "sizeof_hdr": (0, "i", 1),
        "dim": (40, "h", 8),
        "intent_p": (56, "f", 3),
        "intent_code": (68, "h", 1),
        "datatype": (70, "h", 1),
        "bitpix": (72, "h", 1),
        "pixdim": (76, "f", 8),
        "vox_offset": (108, "f", 1),
        "scl": (112, "f", 2),
        "xyzt_units": (123, "B", 1),
        "cal": (124, "f", 2),
        "form_codes": (252, "h", 2),
        "quatern": (256, "f", 6),
        "srow": (280, "f", 12),
        "extension": (348, "B", 4),
        "extension_size": (352, "i", 2),
    },
    2: {
        "sizeof_hdr": (0, "i", 1),
        "datatype": (12, "h", 1),
        "bitpix": (14, "h", 1),
        "dim": (16, "q", 8),
        "pixdim": (104, "d", 8),
        "vox_offset": (168, "q", 1),
        "scl": (176, "d", 2),
        "form_codes": (344, "i", 2),
        "quatern": (352, "d", 6),
        "srow": (400, "d", 12),
        "intent_code": (504, "i", 1),
        "extension": (540, "B", 4),
        "extension_size": (544, "i", 2),
    },
}
_MAGIC = {1: (344, b"n+1\0", b"ni1\0"), 2: (4, b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}
_HEADER_BYTES = {1: 348, 2: 540}
_TYPES = ((4, 16), (2, 8), (8, 32), (16, 32), (64, 64), (512, 16), (128, 24), (1, 1), (32, 64), (2304, 32))


def valid_nifti(rng: Random, version: int, order: str, pair: bool = False) -> tuple[bytearray, bytes]:
    """Returns header (padded to the voxels) and voxels of a sound oblique volume of SIZE, int16."""
    length = _HEADER_BYTES[version]
    header = bytearray(length + 4)
    fields = _FIELDS[version]

    def put(name: str, *values) -> None:
        offset, code, _ = fields[name]
        struct.pack_into(f"{order}{len(values)}{code}", header, offset, *values)

    put("sizeof_hdr", length)
    put("dim", 3, *SIZE, 1, 1, 1, 1)
    put("datatype", 4)
    put("bitpix", 16)
    put("pixdim", 1.0, 1.1, 1.7, 2.3, 0, 0, 0, 0)
    put("vox_offset", 0 if pair else length + 4)
    put("scl", 1.0, 0.0)
    put("form_codes", 1, 0)
    put("quatern", 0.1, -0.2, 0.15, 5.0, -6.0, 7.0)
    offset, single, double = _MAGIC[version]
    magic = double if pair else single
    header[offset : offset + len(magic)] = magic
    voxels = rng.integers(-500, 500, int(np.prod(SIZE))).astype(f"{order}i2")
    return header, voxels.tobytes()


def _put_nonsense(header: bytearray, rng: Random, version: int, order: str) -> None:
    offset, code, count = _FIELDS[version][pick(rng, tuple(_FIELDS[version]))]
    place = offset + struct.calcsize(code) * int(rng.integers(count))
    if place + struct.calcsize(code) > len(header):
        return
    if code in "fd":
        value = np.array(pick(rng, REAL_NUMBERS), f"{order}{code}").tobytes()
    else:
        width = struct.calcsize(code)
        number = pick(rng, WHOLE_NUMBERS) % 2 ** (8 * width)
        value = number.to_bytes(width, "little" if order == "<" else "big")
    header[place : place + len(value)] = value


def _claim_other_type(header: bytearray, rng: Random, version: int, order: str) -> None:
    for name, value in zip(("datatype", "bitpix"), pick(rng, _TYPES), strict=True):
        offset, code, _ = _FIELDS[version][name]
        struct.pack_into(order + code, header, offset, value)


def _claim_huge(header: bytearray, rng: Random, version: int, order: str) -> None:
    """Sides whose product is far beyond the file, or wraps around."""
    offset, code, _ = _FIELDS[version]["dim"]
    largest = 32767 if version == 1 else 2**40
    sides = [int(rng.integers(1, largest)) for _ in range(7)]
    struct.pack_into(f"{order}8{code}", header, offset, int(rng.integers(1, 8)), *sides)


def write_nifti(rng: Random, place: Place) -> Path:
    """Writes one hostile file and returns its path."""
    version = 2 if rng.random() < 0.05 else 1  # ITK 5.4 does not know the second
    order, pair = pick(rng, "<>"), rng.random() < 0.1
    header, voxels = valid_nifti(rng, version, order, pair)
    for _ in range(int(rng.integers(0, 4))):
        pick(rng, (_put_nonsense, _put_nonsense, _claim_other_type, _claim_huge))(header, rng, version, order)
    content = bytes(header)
    if rng.random() < 0.1:
        content = flipped(content, rng)
    if pair:
        (place.inside / "case.img").write_bytes(damaged(voxels, rng) if rng.random() < 0.3 else voxels)
        path = place.inside / "case.hdr"
        path.write_bytes(content)
        return path
    content += voxels
    if rng.random() < 0.2:
        content = damaged(content, rng)
    if rng.random() < 0.5:
        path = place.inside / "case.nii"
        path.write_bytes(content)
        return path
    path = place.inside / "case.nii.gz"
    path.write_bytes(_packed(content, rng))
    return path


def _packed(content: bytes, rng: Random) -> bytes:
    chance = rng.random()
    if chance < 0.02:
        # A few kilobytes that unpack to 32 MB behind the volume.
        return gzip.compress(content + bytes(2**25), 9)
    if chance < 0.05:
        return gzip.compress(content, 1) + gzip.compress(bytes(2**20), 9)
    packed = gzip.compress(content, 1)
    return damaged(packed, rng) if chance < 0.3 else packed
