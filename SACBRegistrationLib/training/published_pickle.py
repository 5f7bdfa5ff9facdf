"""Reads the pickles that TransMorph publishes, an image and its labels, without ever running code from them.

A pickle is a program that may call any function of any module. This reader knows five names, stands in for
them with objects of its own, and refuses every other one: nothing but arrays of numbers can come out.
"""

import pickle
import re
from pathlib import Path

import numpy as np

from SACBRegistrationLib.careful_pickle import CarefulUnpickler, ForbiddenNameError
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import shown

MOST_BYTES = 4 * 2**30
"""A scan of 160x192x224 voxels with its labels has 55 MB; a larger file was given by mistake."""

# An image and its labels take about 60 instructions.
_MOST_STEPS = 1000
_TYPE_CODE = re.compile(r"b1|[iu][1248]|f[248]")


class _Function:
    """A function that a pickle may call; nothing can be set on it."""

    __slots__ = ("_call",)

    def __init__(self, call) -> None:
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setstate__(self, state) -> None:
        raise ValueError("a function has no state")


class _NumberType:
    """Stands for numpy.dtype."""

    __slots__ = ("code", "order")

    def __init__(self, code, *_) -> None:
        if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
            raise ValueError("an array must hold plain numbers")
        self.code, self.order = code, "="

    def __setstate__(self, state) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("a number type has an unknown byte order")
        self.order = state[1]

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for numpy.ndarray until the pickle is read."""

    __slots__ = ("_content",)

    def __init__(self) -> None:
        self._content = None

    def __setstate__(self, state) -> None:
        _, shape, number_type, by_columns, content = state
        self.set(content, number_type, shape, "F" if by_columns else "C")

    def set(self, content, number_type, shape, order) -> "_Array":
        sides = tuple(shape)
        if not all(type(side) is int and side >= 0 for side in sides) or len(sides) > 5:
            raise ValueError("an array has an impossible shape")
        if order not in ("C", "F") or not isinstance(content, bytes | bytearray | pickle.PickleBuffer):
            raise ValueError("an array has no plain content")
        if type(number_type) is not _NumberType:
            raise ValueError("an array must hold plain numbers")
        self._content = np.frombuffer(content, number_type.numpy()).reshape(sides, order=order)
        return self

    def array(self) -> np.ndarray:
        if self._content is None:
            raise ValueError("an array has no content")
        return self._content


class _Names:
    """What a pickle of arrays may name, and what each name does here.

    Args:
        most_text: Letters of text that may be turned into bytes, no more than a file of such a length holds.
    """

    def __init__(self, most_text: int) -> None:
        self._left = most_text
        self._array_type = _Function(self._refuse)
        self.known = {
            ("numpy", "ndarray"): self._array_type,
            ("numpy", "dtype"): _Function(_NumberType),
            ("_codecs", "encode"): _Function(self._encode),
        }
        for package in ("numpy.core", "numpy._core"):
            self.known[f"{package}.multiarray", "_reconstruct"] = _Function(self._empty)
            self.known[f"{package}.numeric", "_frombuffer"] = _Function(self._from_buffer)

    def _refuse(self, *_):
        raise ValueError("an array is made by numpy's own functions alone")

    def _empty(self, array_type, *_) -> _Array:
        if array_type is not self._array_type:
            raise ValueError("an array must be a plain one")
        return _Array()

    @staticmethod
    def _from_buffer(content, number_type, shape, order) -> _Array:
        return _Array().set(content, number_type, shape, order)

    def _encode(self, text: str, encoding: str) -> bytes:
        # Protocols before 3 have no bytes and write them as text.
        self._left -= len(text)
        if encoding != "latin1" or self._left < 0:
            raise ValueError("text stands where an array's content should")
        return text.encode("latin1")


def read_published_pickle(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the image and the labels of a file as TransMorph publishes them.

    Args:
        path: A pickle of (image, labels), or of an image alone.

    Returns:
        The image [D, H, W] as float32, and the labels, whole numbers of the same shape, or None.

    Raises:
        UserError: When the file is missing, too large, damaged, names anything but arrays of numbers, or
            holds other arrays.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"The pickle {path} is too large to hold one scan; give another file.")
        with path.open("rb") as file:
            content = CarefulUnpickler(file, _Names(size).known, _MOST_STEPS).load()
        parts = content if isinstance(content, tuple | list) else [content]
        if not 1 <= len(parts) <= 2 or not all(type(part) is _Array for part in parts):
            raise ValueError("neither an image nor a tuple of image and labels")
        arrays = [part.array() for part in parts]
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"The pickle {path} cannot be read ({reason}); check the split.") from error
    except ForbiddenNameError as error:
        raise UserError(
            f"The pickle {path} wants to use {shown(error)}, which no image needs, so it is not opened; give "
            "a file that you trust."
        ) from error
    # What a damaged pickle makes Python raise spans most kinds of exceptions, as for torch files.
    except (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError) as error:
        raise _damaged(path, error) from error
    except (ImportError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise _damaged(path, error) from error
    return _checked(path, arrays)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"The pickle {path} is damaged or holds something other than an image and its labels "
        f"({type(error).__name__}); give a file of image and labels."
    )


def _checked(path: Path, arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    volumes = [each[0] if each.ndim == 4 and each.shape[0] == 1 else each for each in arrays]
    # What is too large for float32 becomes infinite, and is refused below.
    with np.errstate(over="ignore"):
        image = volumes[0].astype(np.float32)
    if image.ndim != 3 or not image.size:
        raise UserError(f"The pickle {path} holds no 3D image; give a file of image and labels.")
    if not np.isfinite(image).all():
        raise UserError(f"The image in the pickle {path} holds NaN or infinity; replace them with 0.")
    if len(volumes) == 1:
        return image, None
    labels = np.rint(volumes[1]) if volumes[1].dtype.kind == "f" else volumes[1]
    if labels.shape != image.shape:
        raise UserError(
            f"The pickle {path} holds an image of {_sides(image.shape)} voxels and labels of "
            f"{_sides(labels.shape)}; give labels on the image's grid."
        )
    if labels.dtype.kind == "f" and not np.array_equal(labels, volumes[1]):
        raise UserError(f"The labels in the pickle {path} are no whole numbers; give a label map.")
    if labels.size and not -(2**31) <= int(labels.min()) <= int(labels.max()) < 2**31:
        raise UserError(f"The labels in the pickle {path} exceed 32-bit integers; renumber them.")
    return image, labels.astype(np.int32)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
