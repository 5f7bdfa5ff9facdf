"""What the header of a MetaImage (.mha, .mhd) claims: where its voxels are, and how many bytes they fill."""

import math
import re
from pathlib import Path

from SACBRegistrationLib.foreign_text import shown
from SACBRegistrationLib.imaging.file_claims import Claim, ClaimError, file_beside

_MOST_HEADER, _MOST_LINE = 2**20, 4096
_WIDTHS = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_FLOAT"), 4),
    # A long has 4 bytes in MetaImage, whatever the computer says.
    **dict.fromkeys(("MET_LONG", "MET_ULONG"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
_LAST = "ElementDataFile"
_YES = ("true", "t", "1", "yes", "y")


def meta_claim(file: Path) -> Claim:
    """Returns what a header claims.

    Args:
        file: The file, with its voxels (.mha) or without (.mhd).

    Raises:
        ClaimError: When the header is cut off, contradicts itself, or names a data file elsewhere.
    """
    fields, length = _fields(file)
    kind = fields.get("ElementType", "")
    if kind not in _WIDTHS:
        raise ClaimError(f'holds numbers of a kind that cannot be read ("{shown(kind, 40)}"); convert it')
    sides = [_whole(text, "DimSize") for text in fields.get("DimSize", "").split()]
    channels = _whole(fields.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels")
    if len(sides) != _whole(fields.get("NDims", ""), "NDims") or not sides or min(*sides, channels) < 1:
        raise ClaimError("cannot be read; its header has impossible sizes; copy it again")
    size = math.prod(sides) * channels * _WIDTHS[kind]
    name = fields[_LAST]
    if name.upper().startswith("LIST") or "%" in name:
        raise ClaimError("is spread over several files; save it as one file")
    # -1 counts from the end of the file.
    skipped = _whole(fields.get("HeaderSize", "0"), "HeaderSize", lowest=-1)
    data, start = (file, length) if name.upper() == "LOCAL" else (file_beside(file, name), max(skipped, 0))
    packed = fields.get("CompressedData", "False").lower() in _YES
    if _whole(fields.get("CompressedDataSize", "0"), "CompressedDataSize") > data.stat().st_size - start:
        raise ClaimError("cannot be read; it is truncated or damaged, copy it again")
    return Claim(data, start, size, "part" if packed else "no")


def _fields(file: Path) -> tuple[dict[str, str], int]:
    """Returns the fields of the header and its length, bytes."""
    fields: dict[str, str] = {}
    length = 0
    with file.open("rb") as stream:
        while _LAST not in fields and length < _MOST_HEADER and (line := stream.readline(_MOST_LINE + 1)):
            length += len(line)
            text = line.decode("latin-1")
            found = re.match(r"\s*([A-Za-z0-9_]+)\s*[=:]\s*(.*)", text)
            if len(line) > _MOST_LINE or (text.strip() and found is None):
                raise ClaimError("cannot be read; its header has an odd line; copy it again")
            if found is not None and found[1] in fields:
                raise ClaimError(
                    f'cannot be read; its header has the field "{shown(found[1])}" twice; copy it again'
                )
            if found is not None:
                fields[found[1]] = found[2].strip()
    if _LAST not in fields:
        raise ClaimError("cannot be read; it is truncated or damaged, copy it again")
    return fields, length


def _whole(text: str, name: str, lowest: int = 0) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < lowest:
        raise ClaimError(f'cannot be read; its header has no whole number in "{name}"; copy it again')
    return int(text)
