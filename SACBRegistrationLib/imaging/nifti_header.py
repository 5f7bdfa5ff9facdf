"""What the header of a NIfTI or Analyze file claims: where its voxels are, and how many bytes they fill."""

import gzip
import math
import struct
import zlib
from pathlib import Path

from SACBRegistrationLib.imaging.file_claims import Claim, ClaimError, is_packed

# Bytes of a value by the format's number for its type.
_WIDTHS = {
    **{2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2},
    **{768: 4, 1024: 8, 1280: 8, 1536: 16, 1792: 16, 2048: 32, 2304: 4},
}
# By the length of the header, where and how it holds the sides, the number type, the start of the voxels, the
# spacings, whether there is a rotation and an affine map, and the numbers of both.
_LAYOUTS = {
    348: ((40, "8h"), (70, "h"), (108, "f"), (76, "8f"), (252, "2h"), (256, "6f"), (280, "12f")),
    540: ((16, "8q"), (12, "h"), (168, "q"), (104, "8d"), (344, "2i"), (352, "6d"), (400, "12d")),
}
_FARTHEST = 1e9
_PAIR_ENDINGS = {".hdr": (".img", ".img.gz"), ".img": (".img",)}


def nifti_claim(file: Path) -> Claim:
    """Returns what a header claims.

    Args:
        file: The file, or the header or data file of a pair.

    Raises:
        ClaimError: When the header is cut off, contradicts itself, or its data file is missing.
    """
    header = (
        file.with_suffix(".hdr")
        if file.suffix.lower() == ".img" and file.with_suffix(".hdr").is_file()
        else file
    )
    content = _head(header)
    order, length = _order_and_length(content)
    if len(content) < length:
        raise ClaimError("cannot be read; it is truncated or damaged, copy it again")
    fields = [struct.unpack_from(order + form, content, place) for place, form in _LAYOUTS[length]]
    (count, *sides), (kind,), (start,), spacings, (turned, mapped), rotation, matrix = fields
    sides = sides[:count]
    used = (*spacings[1 : count + 1], *(rotation if turned > 0 else ()), *(matrix if mapped > 0 else ()))
    # ITK searches for the axes of such a map without end.
    if not all(abs(number) < _FARTHEST for number in used):
        raise ClaimError("has an invalid spacing, origin or direction; repair its header")
    if min(sides) < 1:
        raise ClaimError("cannot be read; its header has an axis without voxels; copy it again")
    if kind not in _WIDTHS:
        raise ClaimError(f"holds numbers of a kind that cannot be read (NIfTI type {kind}); convert it")
    if not math.isfinite(start) or not 0 <= start < 2**62:
        raise ClaimError("cannot be read; its header has an impossible start of the voxels; copy it again")
    size = math.prod(sides) * _WIDTHS[kind]
    data = _data_file(file, header)
    begins = max(int(start), length) if data == header else int(start)
    return Claim(data, begins, size, "whole" if is_packed(data) else "no", silent=True)


def _head(file: Path) -> bytes:
    try:
        if not is_packed(file):
            with file.open("rb") as stream:
                return stream.read(max(_LAYOUTS))
        with gzip.open(file, "rb") as stream:
            return stream.read(max(_LAYOUTS))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ClaimError("cannot be read; it is truncated or damaged, copy it again") from error


def _order_and_length(content: bytes) -> tuple[str, int]:
    """Returns the byte order and the length of the header, which both its first and its second field tell."""
    for length, ((place, form), *_) in _LAYOUTS.items():
        for order in "<>":
            if len(content) >= length and struct.unpack_from(order + "i", content)[0] == length:
                count = struct.unpack_from(order + form, content, place)[0]
                if 1 <= count <= 7:
                    return order, length
    raise ClaimError("cannot be read; it is truncated or damaged, copy it again")


def _data_file(file: Path, header: Path) -> Path:
    endings = _PAIR_ENDINGS.get(file.suffix.lower())
    if endings is None:
        return header
    for ending in endings:
        data = file.with_suffix(ending)
        if data.is_file():
            return data
    raise ClaimError("cannot be read: its data file (.img) is missing; copy both files")
