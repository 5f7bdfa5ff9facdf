"""Looks through a torch file before torch reads it: what it names, and how much memory it would take.

torch runs no code of a file, but makes room for whatever a file claims: a storage of any length, a tensor
larger than its storage, an array of zeros. Here the same instructions run on stand-ins that only count.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from SACBRegistrationLib.careful_pickle import CarefulUnpickler

# The metadata alone are refused at a thousand values; a network takes a few thousand instructions.
_MOST_STEPS = 2_000_000
_ZIP = b"PK\x03\x04"
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_STORAGES = {
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
_NUMBER_TYPES = (
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"),
    *("uint8", "int8", "int16", "int32", "int64"),
)


class _StandIn:
    """Something that a file holds; a file may not set anything on it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("a part of a torch file has a state of its own")


class _Tensor(_StandIn):
    __slots__ = ()


class _Storage(_StandIn):
    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class _Kind(_StandIn):
    """A class of storages; nothing can be made from it."""

    __slots__ = ("width",)

    def __init__(self, width: int) -> None:
        self.width = width


class _Function(_StandIn):
    __slots__ = ("_call",)

    def __init__(self, call: Callable) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> object:
        return self._call(*arguments)


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> _Tensor:
    sides, steps = _counts(size), _counts(stride)
    (start,) = _counts((offset,))
    if type(storage) is not _Storage or len(sides) != len(steps):
        raise ValueError("a tensor has no storage or an impossible shape")
    last = start + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if min(sides, default=1) > 0 and last >= storage.count:
        raise ValueError("a tensor is larger than its storage")
    return _Tensor()


def _parameter(data: object, *_: object) -> _Tensor:
    if type(data) is not _Tensor:
        raise ValueError("a parameter has no tensor")
    return _Tensor()


def _sparse(layout: object, data: tuple) -> _Tensor:
    return _Tensor()


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or not all(type(each) is int and each >= 0 for each in values):
        raise ValueError("a shape is no list of whole numbers")
    return tuple(values)


def _known() -> dict[tuple[str, str], object]:
    rebuilding = {
        "_rebuild_tensor": _tensor,
        "_rebuild_tensor_v2": _tensor,
        "_rebuild_parameter": _parameter,
        "_rebuild_sparse_tensor": _sparse,
    }
    return {
        ("collections", "OrderedDict"): _Function(OrderedDict),
        ("torch", "Size"): _Function(_counts),
        ("torch", "device"): _Function(lambda *_: _StandIn()),
        ("torch.serialization", "_get_layout"): _Function(lambda *_: _StandIn()),
        **{("torch._utils", name): _Function(call) for name, call in rebuilding.items()},
        **{("torch", name): _Kind(width) for name, width in _STORAGES.items()},
        **{("torch", name): _StandIn() for name in _NUMBER_TYPES},
    }


class _Scanner(CarefulUnpickler):
    """Runs the instructions of one pickle on stand-ins.

    Args:
        file: Stands at the pickle.
        most_bytes: What all storages together may take.
        room: Returns how many bytes the file holds for the storage of a name; None where no part of the file
            is one storage's own.
    """

    def __init__(self, file: BinaryIO, most_bytes: int, room: Callable[[str], int] | None = None) -> None:
        super().__init__(file, _known(), _MOST_STEPS)
        self._left, self._room = most_bytes, room
        self._storages: dict[str, _Storage] = {}

    def persistent_load(self, pid: object) -> _Storage:
        word, kind, key, _, count, *view = pid
        if word != "storage" or type(kind) is not _Kind or type(key) is not str:
            raise ValueError("a storage has no kind or name")
        (count,) = _counts((count,))
        # torch, too, makes a storage at its first mention.
        if key not in self._storages:
            claimed = count * kind.width
            self._left -= claimed
            if self._left < 0 or (self._room is not None and claimed > self._room(key)):
                raise ValueError("a storage is larger than the file")
            self._storages[key] = _Storage(count)
        whole = self._storages[key]
        if not view or view[0] is None:
            return whole
        _, start, length = view[0]
        if sum(_counts((start, length))) > whole.count:
            raise ValueError("a part of a storage is larger than the whole")
        return _Storage(length)

    def load(self) -> object:
        content = super().load()
        if self.proto != 2:
            raise ValueError("torch writes pickles of protocol 2")
        return content


@dataclass(frozen=True)
class _Archive:
    """The parts of an archive as torch names them, and their sizes in bytes."""

    folder: str
    sizes: dict[str, int]

    def room(self, key: str) -> int:
        return self.sizes[f"{self.folder}/data/{key}"]


def is_archive(path: Path) -> bool:
    """Says whether torch takes a file for an archive, the newer of its two formats."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def scan_torch_file(path: Path) -> None:
    """Checks that a file names nothing but what weights need, and claims no more than it holds.

    Args:
        path: The file; of an archive, the checksums and sizes of its parts have been checked.

    Raises:
        ForbiddenNameError: When it names anything else.
        Exception: Of most kinds, when the file is damaged or claims more than it holds.
    """
    if is_archive(path):
        _scan_archive(path)
    else:
        _scan_stream(path)


def _scan_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len({name.lower() for name in sizes}) < len(entries):
            raise ValueError("two parts of an archive have one name")
        parts = _Archive(entries[0].filename.split("/")[0], sizes)
        with archive.open(f"{parts.folder}/data.pkl") as file:
            _Scanner(file, sum(sizes.values()), parts.room).load()


def _scan_stream(path: Path) -> None:
    """Scans torch's older format: magic number, version, system, content and names, each a pickle."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if _Scanner(file, size).load() != _MAGIC_NUMBER:
            raise ValueError("the file does not begin with torch's magic number")
        for _ in range(4):
            _Scanner(file, size).load()
