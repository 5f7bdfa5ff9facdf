"""An unpickler that calls only what it is given, and never asks for more memory than its file holds.

Python's fast unpickler makes room for whatever length or index a file claims. This one is built on the
same module's Python version, whose every step can be watched; the few steps of honest files cost nothing.
"""

import os
import pickle
from collections.abc import Callable, Mapping
from typing import BinaryIO


class ForbiddenNameError(Exception):
    """The pickle names something that it may not use; the message is the name."""


class _BoundedFile:
    """Reads no further than the file goes, without making room for more first."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        here = file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(here)

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._end - self._file.tell():
            raise EOFError("a pickle claims more bytes than the file has")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline()

    def readinto(self, buffer) -> int:
        if len(buffer) > self._end - self._file.tell():
            raise EOFError("a pickle claims more bytes than the file has")
        return self._file.readinto(buffer)


def _watched(step: Callable) -> Callable:
    def counted(unpickler: "CarefulUnpickler") -> None:
        unpickler.steps_left -= 1
        if unpickler.steps_left < 0:
            raise ValueError("a pickle has more steps than its content needs")
        step(unpickler)

    return counted


def _refuse_buffer(unpickler: "CarefulUnpickler") -> None:
    size = int.from_bytes(unpickler.read(8), "little")
    content = unpickler.read(size)
    unpickler.append(bytearray(content))


class CarefulUnpickler(pickle._Unpickler):
    """Reads one pickle from where a file stands.

    Args:
        file: Open for reading, seekable.
        known: What the pickle may name, by module and name; everything else is refused.
        most_steps: Most instructions; each may make one small object.

    Raises:
        ForbiddenNameError: From `load`, when the pickle names anything else.
        Exception: Of most kinds, from `load`, when the pickle is damaged.
    """

    dispatch = {  # noqa: RUF012 - read by the base class under this name
        **{code: _watched(step) for code, step in pickle._Unpickler.dispatch.items()},
        # The base class makes room for the claimed length before it reads.
        pickle.BYTEARRAY8[0]: _watched(_refuse_buffer),
    }

    def __init__(self, file: BinaryIO, known: Mapping[tuple[str, str], object], most_steps: int) -> None:
        super().__init__(_BoundedFile(file))
        self._known = known
        self.steps_left = most_steps

    def find_class(self, module: str, name: str) -> object:
        """Returns what is known under a name; the base class would import it."""
        try:
            return self._known[module, name]
        except KeyError:
            raise ForbiddenNameError(f"{module}.{name}"[:100]) from None

    def get_extension(self, code: int) -> None:
        """Refuses a name that a registry of the process holds under a number."""
        raise ForbiddenNameError(f"extension {code}")
