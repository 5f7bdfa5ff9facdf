"""Ending a worker at once when nobody wants its work any more."""

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from SACBRegistrationLib.worker.folders import remove_folder

EXIT_ABANDONED = 3
_SECONDS_BETWEEN = 0.3
# What a launcher handed on stays open on Windows until this process ends: its files are left to the parent.
_PATIENCE_SECONDS = 0.5 if sys.platform == "win32" else 2.0
_INPUT = 0
# ERROR_INVALID_PARAMETER: no process has the number.
_NO_SUCH_PROCESS = 87

logger = logging.getLogger(__name__)


def watch_parent(folder: Path, parent: int | None, let_go: Callable[[], None]) -> threading.Thread:
    """Starts a thread that ends this process, its folder removed, when nobody wants its work any more.

    That is when standard input ends (the parent closed it, or died), when the folder is gone, or when the
    parent process is: a launcher that stands between the two need not pass the end of the input on. The
    process ends from the thread, as the main thread may be deep in a computation that hears nothing.

    Args:
        folder: The run's private folder.
        parent: Number of the parent process, or None when unknown.
        let_go: Called first; closes the files that this process holds open in the folder.

    Returns:
        The thread, a daemon.
    """
    is_alive = _liveness(parent)

    def watch() -> None:
        while not _input_ended(_SECONDS_BETWEEN) and folder.is_dir() and is_alive():
            pass
        let_go()
        remove_folder(folder, _PATIENCE_SECONDS)
        os._exit(EXIT_ABANDONED)

    thread = threading.Thread(target=watch, name="parent-watch", daemon=True)
    thread.start()
    return thread


def _input_ended(seconds: float) -> bool:
    """Returns whether standard input has ended, after at most some seconds."""
    try:
        if sys.platform == "win32":
            time.sleep(seconds)
            return _input_ended_on_windows()
        readable, _, _ = select.select([_INPUT], [], [], seconds)
        return bool(readable) and not os.read(_INPUT, 4096)
    except OSError as error:
        logger.debug("there is no standard input: %s", error)
        return True


def _input_ended_on_windows() -> bool:
    # A thread that waits in a read would block every other use of the handle, even the loading of libraries.
    import ctypes
    import msvcrt

    available = ctypes.c_ulong()
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(_INPUT))
    peek = ctypes.windll.kernel32.PeekNamedPipe
    return not peek(handle, None, 0, None, ctypes.byref(available), None)


def _liveness(process: int | None) -> Callable[[], bool]:
    """Returns what tells whether a process, by its number, is alive; it is alive now."""
    if process is None:
        return lambda: True
    if sys.platform == "win32":
        return _liveness_on_windows(process)
    return lambda: _answers(process)


def _liveness_on_windows(process: int) -> Callable[[], bool]:
    # As multiprocessing watches over its parent. The handle stays this process's when the number is reused.
    import _winapi

    try:
        handle = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, process)
    except OSError as error:
        logger.debug("the parent process cannot be watched: %s", error)
        gone = error.winerror == _NO_SUCH_PROCESS
        return lambda: not gone
    return lambda: _winapi.WaitForSingleObject(handle, 0) != _winapi.WAIT_OBJECT_0


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        logger.debug("the parent process belongs to somebody else now")
    return True
