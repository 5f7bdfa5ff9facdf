"""Reads what a DICOM file says of itself, before GDCM does.

GDCM makes room for any length that an element claims, and takes five times as long for every level of its
sequences. So the elements are walked here first, by Python: every one must lie within its parent, and the
voxels that the sides claim must be there.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from SACBRegistrationLib.imaging.file_claims import HIGHEST_RATIO, ClaimError

_PREAMBLE, _MAGIC = 128, b"DICM"
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
# Representations whose length takes four bytes, after two that are reserved.
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH"),
        *(b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
_BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_IMPLICIT = ("1.2.840.10008.1.2", "1.2.840.113619.5.2")
# The last is GE's own. Where none is named, voxels are not packed either.
_NOT_PACKED = (
    *("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN, _DEFLATED),
    "1.2.840.113619.5.2",
)
_SYNTAX, _SERIES, _POSITION, _ORIENTATION = (2, 0x10), (0x20, 0xE), (0x20, 0x32), (0x20, 0x37)
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = (0x28, 2), (0x28, 8), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100)
_WHOLE = (_SAMPLES, _ROWS, _COLUMNS, _BITS)
_WANTED = frozenset((_SYNTAX, _SERIES, _POSITION, _ORIENTATION, _FRAMES, *_WHOLE))
_PIXELS = frozenset(((0x7FE0, 8), (0x7FE0, 9), (0x7FE0, 0x10)))
# Sequences of images are three or four deep, and GDCM takes five times as long for every level.
_MOST_DEPTH = 6
_MOST_ELEMENTS, _MOST_VALUE = 1_000_000, 4096
# Headers pack to a tenth at most, and voxels hardly further.
_USUAL_RATIO = 50
_CUT = "is truncated or damaged; copy it again"


@dataclass(frozen=True)
class DicomHeader:
    """What tells to which volume a slice belongs, and where.

    Attributes:
        series: Series instance UID; empty where there is none.
        position: Centre of the first voxel, LPS mm; None where it is not told.
        orientation: Directions of the rows and of the columns, 6 numbers; None where they are not told.
        has_pixels: Whether there are voxels at all.
    """

    series: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    has_pixels: bool


def check_dicom(file: Path) -> None:
    """Checks a file that GDCM would take for one of its own, whatever its name.

    Raises:
        ClaimError: When its elements or voxels are not all there.
        OSError: When it cannot be read.
    """
    with file.open("rb") as stream:
        start = stream.read(_PREAMBLE + len(_MAGIC))
    theirs = start[_PREAMBLE:] == _MAGIC or start.startswith((_MAGIC, b"\x02\x00", b"\x08\x00"))
    if theirs and dicom_header(file) is None:
        raise ClaimError(_CUT)


def dicom_header(file: Path) -> DicomHeader | None:
    """Returns what a file says, None when it is no DICOM file.

    Raises:
        ClaimError: When an element is longer than the file, or the file holds fewer voxels than it claims.
        OSError: When it cannot be read.
    """
    with file.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        begin = _PREAMBLE + len(_MAGIC) if stream.read(_PREAMBLE + 4)[_PREAMBLE:] == _MAGIC else 0
        try:
            walk = _Walk(stream, size)
            walk.file(begin)
        except ClaimError:
            # Any file may stand in the folder, and files from before 1993 do not tell what they are.
            if not begin:
                return None
            raise
    if not begin and not walk.found.get(_ROWS):
        return None
    _check_pixels(walk)
    series = walk.found.get(_SERIES, b"").decode("ascii", "replace").strip(" \0")
    return DicomHeader(
        series,
        _numbers(walk.found.get(_POSITION), 3),
        _numbers(walk.found.get(_ORIENTATION), 6),
        walk.pixel_bytes is not None,
    )


@dataclass(frozen=True)
class _Coding:
    explicit: bool
    order: str = "<"


class _Walk:
    """Goes through the elements of a file.

    Attributes:
        found: Values of the wanted elements of the outermost level, by group and number.
        order: "<" or ">", the order of the bytes of these.
        syntax: How the file says that it is written.
        pixel_bytes: Length of the voxels; None without any.
        packed: Whether the voxels are packed.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size, self._left = stream, size, _MOST_ELEMENTS
        self.found: dict[tuple[int, int], bytes] = {}
        self.order = "<"
        self.syntax = ""
        self.pixel_bytes: int | None = None
        self.packed = False

    def file(self, begin: int) -> None:
        """Walks a whole file, whose first group tells how the others are written."""
        place = self._group_two(begin)
        self.syntax = syntax = self.found.get(_SYNTAX, b"").decode("ascii", "replace").strip(" \0")
        if syntax == _DEFLATED:
            self._unpack(place)
            place = 0
        self.order = ">" if syntax == _BIG_ENDIAN else "<"
        letters = self._read(place, 6)[4:] if place < self._size else b""
        explicit = letters in _LONG | _SHORT
        # GDCM takes the file's word for it, and then hundreds of megabytes.
        if syntax and explicit == (syntax in _IMPLICIT):
            raise ClaimError("is written in another form than it says; convert it anew")
        self._elements(place, self._size, _Coding(explicit, self.order), 0, False)

    def _group_two(self, place: int) -> int:
        coding = _Coding(True)
        while place < self._size and self._read(place, 2) == b"\x02\x00":
            place = self._element(place, self._size, coding, 0)
        return place

    def _unpack(self, place: int) -> None:
        self._stream.seek(place)
        most = _USUAL_RATIO * self._size
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(self._stream.read(), most)
        except zlib.error as error:
            raise ClaimError(_CUT) from error
        if len(content) >= most:
            raise ClaimError("unpacks to far more than a slice; copy it again")
        self._stream, self._size = io.BytesIO(content), len(content)

    def _read(self, place: int, count: int) -> bytes:
        self._stream.seek(place)
        content = self._stream.read(count)
        if len(content) < count:
            raise ClaimError(_CUT)
        return content

    def _elements(self, place: int, end: int, coding: _Coding, depth: int, delimited: bool) -> int:
        """Walks elements up to an end, or up to a mark where they have none of their own."""
        while place < end:
            if delimited and self._tag(place, coding) == _ITEM_END:
                return place + 8
            place = self._element(place, end, coding, depth)
        if delimited or place > end:
            raise ClaimError(_CUT)
        return place

    def _tag(self, place: int, coding: _Coding) -> tuple[int, int]:
        return struct.unpack(coding.order + "HH", self._read(place, 4))

    def _element(self, place: int, end: int, coding: _Coding, depth: int) -> int:
        self._left -= 1
        if self._left < 0:
            raise ClaimError("has more elements than an image needs; copy it again")
        tag, kind = self._tag(place, coding), b""
        if tag[0] == 0xFFFE:
            raise ClaimError(_CUT)
        if coding.explicit:
            kind = self._read(place + 4, 2)
            if kind in _LONG:
                place += 12
            elif kind in _SHORT:
                place += 8
            else:
                raise ClaimError(_CUT)
        else:
            place += 8
        form = "H" if kind in _SHORT else "I"
        (length,) = struct.unpack(
            coding.order + form, self._read(place - struct.calcsize(form), struct.calcsize(form))
        )
        if length == _UNDEFINED and form == "I":
            if tag in _PIXELS and depth == 0:
                return self._fragments(place, end, coding)
            if kind not in (b"SQ", b"UN", b""):
                raise ClaimError(_CUT)
            inner = _Coding(False) if kind == b"UN" else coding
            return self._items(place, end, inner, depth, True)
        if length > end - place:
            raise ClaimError(_CUT)
        if tag in _PIXELS and depth == 0:
            self.pixel_bytes = (self.pixel_bytes or 0) + length
        elif kind == b"SQ" or (not coding.explicit and length >= 8 and self._tag(place, coding) == _ITEM):
            self._items(place, place + length, coding, depth, False)
        elif tag in _WANTED and depth == 0:
            self.found[tag] = self._read(place, min(length, _MOST_VALUE))
        return place + length

    def _items(self, place: int, end: int, coding: _Coding, depth: int, delimited: bool) -> int:
        if depth >= _MOST_DEPTH:
            raise ClaimError("nests its elements deeper than any image does; copy it again")
        while place < end:
            tag = self._tag(place, coding)
            (length,) = struct.unpack(coding.order + "I", self._read(place + 4, 4))
            place += 8
            if delimited and tag == _SEQUENCE_END:
                return place
            if tag != _ITEM or (length != _UNDEFINED and length > end - place):
                raise ClaimError(_CUT)
            stop = end if length == _UNDEFINED else place + length
            place = self._elements(place, stop, coding, depth + 1, length == _UNDEFINED)
        if delimited or place > end:
            raise ClaimError(_CUT)
        return place

    def _fragments(self, place: int, end: int, coding: _Coding) -> int:
        """Walks packed voxels: items of bytes, whatever these are."""
        self.packed, self.pixel_bytes = True, self.pixel_bytes or 0
        while place < end:
            tag = self._tag(place, coding)
            (length,) = struct.unpack(coding.order + "I", self._read(place + 4, 4))
            place += 8
            if tag == _SEQUENCE_END:
                return place
            if tag != _ITEM or length > end - place:
                raise ClaimError(_CUT)
            self.pixel_bytes += length
            place += length
        raise ClaimError(_CUT)


def _check_pixels(walk: _Walk) -> None:
    """Raises ClaimError when the sides claim more voxels than there are."""
    if walk.pixel_bytes is None:
        return
    sides = [_whole(walk.found, tag, walk.order) for tag in _WHOLE]
    try:
        frames = int(walk.found.get(_FRAMES, b"").strip(b" \0") or b"1")
    except ValueError as error:
        raise ClaimError(_CUT) from error
    bits = max(frames, 1)
    for side in sides:
        bits *= side
    claimed = -(-bits // 8)
    # Unpacking what was never packed takes GDCM minutes and a gigabyte.
    if walk.packed == (walk.syntax in _NOT_PACKED):
        raise ClaimError(_CUT)
    if claimed > walk.pixel_bytes * (HIGHEST_RATIO if walk.packed else 1):
        raise ClaimError(_CUT)


def _whole(found: Mapping[tuple[int, int], bytes], tag: tuple[int, int], order: str) -> int:
    value = found.get(tag, b"")
    # Only samples are always one where nothing is said.
    return struct.unpack_from(order + "H", value)[0] if len(value) >= 2 else 1 if tag == _SAMPLES else 0


def _numbers(value: bytes | None, count: int) -> tuple[float, ...] | None:
    """Returns the decimal numbers of a value, None unless there are so many."""
    try:
        numbers = tuple(float(text) for text in (value or b"").decode("ascii").strip(" \0").split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count else None
