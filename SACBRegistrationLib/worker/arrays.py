"""Volumes as raw files: what such a file holds, and writing and reading it in small steps."""

import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.worker.json_checks import (
    as_list,
    as_numbers,
    as_object,
    as_text,
    as_whole_number,
    only_keys,
)

NUMBER_TYPES = frozenset(
    ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
)
_STEP_BYTES = 4 * 2**20
_MOST_BYTES = 2**40
# No separators, no leading dot, and none of the device names that Windows gives a meaning of their own.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]{0,63}\.raw")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\.raw", re.IGNORECASE)
_ORTHONORMAL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ArrayFile:
    """A volume in a raw little-endian file; the values follow each other in C order.

    Attributes:
        name: Plain file name that ends in .raw, in the folder of the run.
        dtype: NumPy's name of the number type, one of NUMBER_TYPES.
        shape: [z, y, x], or [z, y, x, 3] for vectors (x, y, z components in LPS).
        grid: Where the voxels lie, LPS mm; None when that does not matter.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    grid: Grid | None = None

    def __post_init__(self) -> None:
        """Raises ValueError when the file could not be such a volume."""
        if not _NAME.fullmatch(self.name) or _DEVICES.fullmatch(self.name):
            raise ValueError(f"{self.name[:100]!r} is no plain file name")
        if self.dtype not in NUMBER_TYPES:
            raise ValueError(f"{self.dtype[:50]!r} is no known number type")
        if len(self.shape) not in (3, 4) or (len(self.shape) == 4 and self.shape[3] != 3):
            raise ValueError(f"a volume has the shape [z, y, x] or [z, y, x, 3], not {self.shape}")
        if min(self.shape) < 1 or self.byte_count > _MOST_BYTES:
            raise ValueError(f"the shape {self.shape} is empty or too large")
        if self.grid is not None:
            _check_grid(self.grid, self.shape)

    @classmethod
    def of(cls, array: np.ndarray, name: str, grid: Grid | None = None) -> "ArrayFile":
        """Returns what the file of an array will be."""
        return cls(name, array.dtype.newbyteorder("=").name, tuple(int(n) for n in array.shape), grid)

    @property
    def byte_count(self) -> int:
        """Length of the file."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def path_in(self, folder: Path) -> Path:
        """Returns the file in a folder.

        Raises:
            ValueError: When it is absent, no plain file, or not exactly as long as the volume.
        """
        path = folder / self.name
        try:
            found = os.lstat(path)
        except OSError as error:
            raise ValueError(f"the file {self.name} is missing") from error
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{self.name} is no plain file")
        if found.st_size != self.byte_count:
            raise ValueError(f"the file {self.name} has {found.st_size} bytes instead of {self.byte_count}")
        return path

    def to_json(self) -> dict:
        """Returns the description as a JSON object."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "grid": None if self.grid is None else _grid_to_json(self.grid),
        }

    @classmethod
    def from_json(cls, document: object) -> "ArrayFile":
        """Returns the description in a JSON object.

        Raises:
            ValueError: When anything is missing, unknown or impossible.
        """
        document = as_object(document, "a volume")
        only_keys(document, {"name", "dtype", "shape", "grid"}, "a volume")
        grid = document.get("grid")
        return cls(
            as_text(document.get("name"), "the file name"),
            as_text(document.get("dtype"), "the number type"),
            tuple(as_whole_number(n, "a size") for n in as_list(document.get("shape"), "the shape")),
            None if grid is None else _grid_from_json(grid),
        )


def write_steps(array: np.ndarray, path: Path) -> Iterator[slice]:
    """Writes an array's values little-endian, a few z-planes per step.

    Args:
        array: [z, y, x] or [z, y, x, 3], any strides and byte order.
        path: A new file; an existing one is replaced.

    Yields:
        The z-planes that the step wrote, about 4 MB.
    """
    with open(path, "wb") as file:
        for planes in _slabs(array):
            file.write(_little_endian(array[planes]).data)
            yield planes


def read_steps(path: Path, into: np.ndarray) -> Iterator[slice]:
    """Reads a file of `write_steps`, a few z-planes per step.

    Args:
        path: The file.
        into: [z, y, x] or [z, y, x, 3] array that takes the values, in the file's number type; any strides.

    Yields:
        The z-planes that the step filled, about 4 MB.

    Raises:
        UserError: When the file ends early or cannot be read.
    """
    dtype = into.dtype.newbyteorder("<")
    try:
        with open(path, "rb") as file:
            for planes in _slabs(into):
                part = np.empty(into[planes].shape, dtype)
                if file.readinto(part.reshape(-1).view(np.uint8).data) != part.nbytes:
                    raise UserError(f"The file {path.name} of the registration is cut off; run it again.")
                into[planes] = part
                yield planes
    except OSError as error:
        raise UserError(
            f"The file {path.name} of the registration cannot be read ({error.strerror}); run it again."
        ) from error


def _slabs(array: np.ndarray) -> Iterator[slice]:
    plane = max(1, array.nbytes // max(1, len(array)))
    depth = max(1, _STEP_BYTES // plane)
    for start in range(0, len(array), depth):
        yield slice(start, min(start + depth, len(array)))


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _check_grid(grid: Grid, shape: tuple[int, ...]) -> None:
    if tuple(grid.size) != tuple(shape[2::-1]):
        raise ValueError(f"the grid has the size {grid.size}, the array the shape {shape}")
    numbers = (*grid.spacing, *grid.origin, *grid.direction)
    if len(numbers) != 15 or not all(math.isfinite(value) for value in numbers) or min(grid.spacing) <= 0:
        raise ValueError("the grid has an impossible spacing, origin or direction")
    axes = grid.axes
    if abs(axes.T @ axes - np.eye(3)).max() > _ORTHONORMAL_TOLERANCE:
        raise ValueError("the grid's axes are not at right angles")


def _grid_to_json(grid: Grid) -> dict:
    return {
        "size": [int(n) for n in grid.size],
        "spacing": [float(value) for value in grid.spacing],
        "origin": [float(value) for value in grid.origin],
        "direction": [float(value) for value in grid.direction],
    }


def _grid_from_json(document: object) -> Grid:
    document = as_object(document, "a grid")
    only_keys(document, {"size", "spacing", "origin", "direction"}, "a grid")
    return Grid(
        tuple(as_whole_number(n, "a size") for n in as_list(document.get("size"), "a grid's size", 3)),
        as_numbers(document.get("spacing"), "a grid's spacing", 3),
        as_numbers(document.get("origin"), "a grid's origin", 3),
        as_numbers(document.get("direction"), "a grid's direction", 9),
    )
