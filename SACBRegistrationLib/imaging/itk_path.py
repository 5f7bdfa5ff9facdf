"""Paths as ITK can open them, which on Windows are not all."""

import ctypes
import os
import sys
from pathlib import Path

from SACBRegistrationLib.errors import UserError

_UTF8 = 65001


def itk_path(path: str | Path) -> str:
    """Returns a file's path as SimpleITK has to be given it.

    SimpleITK hands ITK the path in UTF-8, and on Windows ITK takes that for the code page of the computer's
    language: a letter beyond ASCII leads to another file, or to none. Only where UTF-8 is the code page, as
    inside Slicer, it does not. The folder's short name, such as MLLER~1, leads to the same place.

    Args:
        path: A file, which need not exist, in a folder that does.

    Raises:
        UserError: When the file's name needs other letters, or its folder has no short name.
    """
    if str(path).isascii() or not _takes_ascii_alone():
        return str(path)
    file = Path(path).absolute()
    # A short name of the file itself would lack the ending by which formats are known.
    found = os.path.join(_short_name(file.parent), file.name)
    if not found.isascii():
        raise UserError(
            f"The path {path} has letters that SimpleITK cannot open on Windows; use plain letters (ASCII) "
            "for folders and file, or turn on UTF-8 for all programs in Windows' language settings."
        )
    return found


def itk_folder(folder: str | Path) -> Path:
    """Returns a folder's path below which ITK opens every file with a plain name.

    Args:
        folder: A folder that exists, such as a temporary one.

    Raises:
        UserError: As `itk_path`.
    """
    return Path(itk_path(Path(folder) / "file")).parent


def _takes_ascii_alone() -> bool:
    return sys.platform == "win32" and ctypes.windll.kernel32.GetACP() != _UTF8


def _short_name(folder: Path) -> str:
    """Returns a folder's short name on Windows, or its own where the disk keeps none."""
    ask = ctypes.WinDLL("kernel32").GetShortPathNameW
    ask.argtypes = (ctypes.c_wchar_p, ctypes.c_wchar_p, ctypes.c_uint32)
    ask.restype = ctypes.c_uint32
    length = ask(str(folder), None, 0)
    buffer = ctypes.create_unicode_buffer(max(length, 1))
    return buffer.value if length and ask(str(folder), buffer, length) else str(folder)
