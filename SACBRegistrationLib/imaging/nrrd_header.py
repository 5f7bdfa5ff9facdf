"""What the header of a NRRD file claims: where its voxels are, and how many bytes they fill."""

import math
import re
from pathlib import Path

from SACBRegistrationLib.foreign_text import shown
from SACBRegistrationLib.imaging.file_claims import Claim, ClaimError, file_beside

_MOST_HEADER = 2**22
# ITK's reader overruns its memory where it repeats a line of a thousand letters in an error.
_MOST_LINE = 500
_MAGIC = re.compile(rb"NRRD(000[1-5]|00\.01)")
_FIELDS = frozenset(
    (
        *(
            "content",
            "number",
            "type",
            "blocksize",
            "dimension",
            "space",
            "spacedimension",
            "sizes",
            "spacings",
        ),
        *(
            "thicknesses",
            "axismins",
            "axismaxs",
            "spacedirections",
            "centers",
            "centerings",
            "kinds",
            "labels",
        ),
        *("units", "min", "max", "oldmin", "oldmax", "endian", "encoding", "lineskip", "byteskip"),
        *("sampleunits", "spaceunits", "spaceorigin", "measurementframe", "datafile"),
    )
)
_WIDTHS = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), 8),
    **dict.fromkeys(("signed long long int", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}
_TEXT, _HEX, _GZIP = ("ascii", "text", "txt"), ("hex",), ("gzip", "gz")


def nrrd_claim(file: Path) -> Claim:
    """Returns what a header claims.

    Args:
        file: The file, with its voxels or without (.nhdr).

    Raises:
        ClaimError: When the header is no such header, contradicts itself, or names a data file elsewhere.
    """
    lines, length = _lines(file)
    fields = _parsed(lines)
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise ClaimError(f'cannot be read; its header lacks the field "{missing[0]}"; copy it again')
    sides = [_whole(text, "sizes") for text in fields["sizes"].split()]
    if len(sides) != _whole(fields["dimension"], "dimension") or not sides or min(sides) < 1:
        raise ClaimError("cannot be read; its header has impossible sizes; copy it again")
    kind, encoding = fields["type"].lower(), fields["encoding"].lower()
    if kind not in _WIDTHS:
        raise ClaimError(f'holds numbers of a kind that cannot be read ("{shown(kind, 40)}"); convert it')
    data, start = file, length
    if "datafile" in fields:
        if re.match(r"LIST\b", fields["datafile"]) or "%" in fields["datafile"]:
            raise ClaimError("is spread over several files; save it as one file")
        data, start = file_beside(file, fields["datafile"]), 0
    lines_skipped = _whole(fields.get("lineskip", "0"), "line skip")
    skipped = _whole(fields.get("byteskip", "0"), "byte skip")
    if lines_skipped < 0 or skipped < -1 or max(lines_skipped, skipped) > data.stat().st_size:
        raise ClaimError("cannot be read; its header skips more than there is; copy it again")
    # From the end of the file counts -1.
    count, skipped = math.prod(sides), max(skipped, 0) + lines_skipped
    if encoding == "raw":
        return Claim(data, start + skipped, count * _WIDTHS[kind])
    if encoding in _HEX:
        return Claim(data, start, 2 * count * _WIDTHS[kind], "text")
    if encoding in _TEXT:
        return Claim(data, start, 2 * count - 1, "text")
    if encoding in _GZIP:
        return Claim(data, start + lines_skipped, count * _WIDTHS[kind], "part")
    raise ClaimError(f'is packed in a way that cannot be read ("{shown(encoding, 40)}"); save it with gzip')


def _lines(file: Path) -> tuple[list[bytes], int]:
    """Returns the lines of the header and its length with the empty line behind it, bytes."""
    lines: list[bytes] = []
    length = 0
    with file.open("rb") as stream:
        while line := stream.readline(_MOST_HEADER - length):
            length += len(line)
            line = line.rstrip(b"\r\n")
            if not line:
                break
            lines.append(line)
            if length >= _MOST_HEADER:
                raise ClaimError("has a header of more than 4 MiB, and so is no volume; check the path")
    return lines, length


def _parsed(lines: list[bytes]) -> dict[str, str]:
    """Returns the fields by their names, small letters without blanks."""
    magic = _MAGIC.fullmatch(lines[0].rstrip()) if lines else None
    if magic is None:
        raise ClaimError("cannot be read; it is no NRRD file of a known version")
    # The first version has no keys of other programs.
    keys_allowed = magic[1] not in (b"0001", b"00.01")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith(b"#"):
            continue
        name, colon, value = line.partition(b": ")
        key = name.decode("latin-1").lower().replace(" ", "")
        if not colon or key not in _FIELDS:
            if keys_allowed and b":=" in line:
                continue
            odd = shown(line.decode("latin-1"), 40)
            raise ClaimError(f'cannot be read; its header has the odd line "{odd}"; copy it again')
        if len(line) > _MOST_LINE:
            raise ClaimError(
                f'cannot be read; the field "{shown(key)}" of its header is too long; copy it again'
            )
        if key in fields:
            raise ClaimError(f'cannot be read; its header has the field "{shown(key)}" twice; copy it again')
        fields[key] = value.decode("latin-1").strip()
    return fields


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ClaimError(f'cannot be read; its header has no whole number in "{name}"; copy it again')
    return int(text)
