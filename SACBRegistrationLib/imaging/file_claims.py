"""Checks what an image file says of itself against what is there, before ITK's readers believe it.

ITK makes room for whatever size a header claims, follows it to any other file, and NRRD's reader overruns its
own memory on long lines. So the headers of the three formats that people exchange are read here first, by
Python; for the others ITK's own figures are compared with the size of the file.
"""

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError

# Scans pack to a half or a tenth; a mask to a hundredth, and then it is worth unpacking it once more.
_USUAL_RATIO = 50
# What deflate cannot exceed; JPEG's relatives stay far below.
HIGHEST_RATIO = 1100
# Some programs append their own data to a volume.
_MOST_BEHIND = 2**24
_CHUNK = 2**20
_GZIP = b"\x1f\x8b"


class ClaimError(Exception):
    """A header that cannot be true; the message completes the sentence "The image ... "."""


@dataclass(frozen=True)
class Claim:
    """What a header says.

    Attributes:
        data: The file that holds the voxels.
        start: Where they begin in it, bytes; in an unpacked file where `packed` is "whole".
        size: Bytes that they fill once they are unpacked.
        packed: "no", "whole" (the file is a gzip file), "part" (the voxels are packed, from `start` on) or
            "text" (they are written as numbers, `size` then being the fewest letters).
        silent: Whether ITK fills a volume that is cut off instead of refusing it.
    """

    data: Path
    start: int
    size: int
    packed: str = "no"
    silent: bool = False


def check_claim(claim: Claim, subject: str) -> None:
    """Checks that the voxels a header claims are there.

    Args:
        claim: What the header says.
        subject: Subject of the error sentence.

    Raises:
        UserError: When the file is shorter than it says, damaged, or unpacks to far more than it says.
    """
    held = claim.data.stat().st_size
    if claim.packed in ("no", "text"):
        _check_length(held, claim.start + claim.size, subject)
        return
    skipped = claim.start if claim.packed == "part" else 0
    needed = claim.size + (claim.start if claim.packed == "whole" else 0)
    if not claim.silent and needed <= _USUAL_RATIO * (held - skipped):
        return
    try:
        present = _unpacked_size(claim.data, skipped, needed + _MOST_BEHIND)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{subject} is truncated or damaged; copy it again.") from error
    _check_length(present, needed, subject)
    if present > needed + _MOST_BEHIND:
        raise UserError(
            f"{subject} is damaged: it unpacks to far more than the {needed} bytes of its volume; copy it "
            "again."
        )


def check_plausible(file: Path, reader: sitk.ImageFileReader, subject: str) -> None:
    """Checks the size that ITK has read from a header of any other format.

    Args:
        file: The file.
        reader: Has read its header.
        subject: Subject of the error sentence.

    Raises:
        UserError: When no packing could have made the file so small.
    """
    one = sitk.Image([1] * reader.GetDimension(), reader.GetPixelID())
    width = one.GetSizeOfPixelComponent()
    claimed = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * width
    if claimed > HIGHEST_RATIO * file.stat().st_size:
        raise UserError(
            f"{subject} is truncated or damaged: it is far shorter than its header says; copy it again."
        )


def file_beside(header: Path, name: str) -> Path:
    """Returns the data file that a header names.

    Raises:
        ClaimError: When it is no plain file in the header's folder or one within.
    """
    elsewhere = "points at a file outside its folder; put header and data into one folder"
    if not name or name == "-" or "\\" in name or not name.isprintable() or os.path.isabs(name):
        raise ClaimError(elsewhere)
    folder = header.parent.resolve()
    try:
        found = (folder / name).resolve()
        inside = found.is_relative_to(folder)
        regular = inside and stat.S_ISREG(found.stat().st_mode)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClaimError("cannot be read: its data file is missing; copy both files") from error
    if not inside:
        raise ClaimError(elsewhere)
    if not regular:
        raise ClaimError("cannot be read: its data file is no file; copy both files")
    return found


def is_packed(file: Path) -> bool:
    """Says whether a file begins as gzip files do."""
    with file.open("rb") as stream:
        return stream.read(2) == _GZIP


def _check_length(present: int, needed: int, subject: str) -> None:
    if present < needed:
        raise UserError(f"{subject} is truncated: it has {present} of {needed} bytes; copy it again.")


def _unpacked_size(file: Path, start: int, most: int) -> int:
    """Returns how many bytes packed data unpacks to, which verifies its checksum; stops once above `most`."""
    size = 0
    with file.open("rb") as stream:
        stream.seek(start)
        # MetaImage packs without gzip's frame.
        framed = stream.peek(2)[:2] == _GZIP
        for chunk in _gzip_chunks(stream) if framed else _zlib_chunks(stream):
            size += len(chunk)
            if size > most:
                break
    return size


def _gzip_chunks(stream: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=stream) as unpacked:
        while chunk := unpacked.read(_CHUNK):
            yield chunk


def _zlib_chunks(stream: BinaryIO) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
        if not packed:
            raise EOFError("packed data is cut off")
        yield unpacker.decompress(packed, _CHUNK)
