"""A folder in which a result is written before it is shown, whose remains a later run can tell and clear.

A result for a new folder appears at once, as one folder that is renamed. One for a folder that exists is
moved into place part by part, its report last: a folder holds a result when it holds a report. When the
process, or the computer, dies in between, what had been put aside lies in the staging folder, and the next
run puts it back.
"""

import errno
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PREFIX = ".sacb-"

# On Windows Python makes folders of mode 0700 private, and what is made in one stays so wherever it is moved.
_STAGE_MODE = 0o777 if os.name == "nt" else 0o700
# Windows moves nothing that is open, not even a folder around it, and there virus scanners open what is new.
_PATIENCE_SECONDS = 2.0 if os.name == "nt" else 0.0
_PAUSE_SECONDS = 0.05
_LOCK, _ASIDE, _PLACING, _RESULT = "lock", "old", "placing", "result"
# What file systems answer that do not know how.
_NO_FLUSHING = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

logger = logging.getLogger(__name__)


@contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Makes a folder for the parts of a result, in a staging folder that goes at the end.

    While it is open, no other process takes it for remains.

    Args:
        parent: An existing folder on the disk that the result is for.

    Raises:
        OSError: When it cannot be made or written.
    """
    stage = parent / f"{PREFIX}{secrets.token_hex(8)}"
    stage.mkdir(_STAGE_MODE)
    try:
        with (stage / _LOCK).open("wb") as lock:
            _hold(lock)
            parts = stage / _RESULT
            # Unlike the private folder around it, as readable as any folder that the user makes.
            parts.mkdir()
            yield parts
    finally:
        _discard(stage)


def flush(folder: Path) -> None:
    """Has the system write everything in a folder to the disk, so that a loss of power cannot take it."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        with path.open("rb+") as file:
            try:
                os.fsync(file.fileno())
            except OSError as error:
                if error.errno not in _NO_FLUSHING:
                    raise
                logger.debug("this disk cannot be flushed: %s", error)


def show_new(parts: Path, folder: Path) -> None:
    """Makes a folder of staged parts appear at once.

    Args:
        parts: From `staging_folder`, in the folder's parent.
        folder: Does not exist.

    Raises:
        OSError: When it cannot be moved there.
    """
    _patiently(os.rename, parts, folder)


def replace_parts(parts: Path, folder: Path, names: Sequence[str]) -> None:
    """Moves staged parts over what is there, keeping the old ones until every new one is in place.

    Args:
        parts: From `staging_folder`, in `folder`.
        folder: Where they go.
        names: All parts that a result may have; the last one tells that it is complete.

    Raises:
        OSError: When a part cannot be moved; everything is as it was then.
    """
    stage = parts.parent
    (stage / _ASIDE).mkdir()
    try:
        # The mark of a complete result goes first and comes last.
        for name in reversed(names):
            if os.path.lexists(folder / name):
                _patiently(os.replace, folder / name, stage / _ASIDE / name)
        (stage / _PLACING).touch()
        for name in names:
            if os.path.lexists(parts / name):
                _patiently(os.replace, parts / name, folder / name)
    except BaseException:
        _put_back(stage, folder, names)
        raise


def clear_remains(folder: Path, names: Sequence[str]) -> None:
    """Puts right what a process left in a folder that died while it wrote a result.

    Args:
        folder: Need not exist.
        names: As for `replace_parts`.
    """
    try:
        remains = [path for path in folder.iterdir() if path.name.startswith(PREFIX) and _is_dead(path)]
    except OSError as error:
        logger.debug("the output folder cannot be looked through: %s", error.strerror)
        return
    for stage in remains:
        if (stage / _ASIDE).is_dir() and not os.path.lexists(folder / names[-1]):
            _put_back(stage, folder, names)
        _discard(stage)
        logger.info("removed what an interrupted run had left")


def _patiently(move: Callable[[Path, Path], None], source: Path, target: Path) -> None:
    """Moves a file or folder, where need be once nobody holds it open any more."""
    given_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return move(source, target)
        except PermissionError:
            if time.monotonic() >= given_up:
                raise
            time.sleep(_PAUSE_SECONDS)


def _discard(stage: Path) -> None:
    """Removes a staging folder, last the file that tells what it is."""
    for path in stage.iterdir():
        if path.name != _LOCK:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    shutil.rmtree(stage, ignore_errors=True)


def _put_back(stage: Path, folder: Path, names: Sequence[str]) -> None:
    """Takes new parts out again and moves old ones back; may itself be interrupted and begun again."""
    if (stage / _PLACING).exists():
        # Every old part is aside, so what is shown is new.
        for name in names:
            _remove(folder / name)
        (stage / _PLACING).unlink()
    for name in names:
        if os.path.lexists(stage / _ASIDE / name):
            _patiently(os.replace, stage / _ASIDE / name, folder / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _hold(lock: BinaryIO) -> None:
    """Locks a file until it is closed; on Windows that it is open keeps others from removing it."""
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        logger.debug("this disk knows no locks: %s", error)


def _is_dead(stage: Path) -> bool:
    """Says whether the process that made a staging folder is gone; no, where that cannot be told."""
    lock = stage / _LOCK
    try:
        if not any(stage.iterdir()):
            # Killed after the last file or before the first; somebody may just be about to write that.
            return True
        if os.name == "nt":
            lock.unlink()
            return True
        import fcntl

        with lock.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        logger.debug("another run is writing: %s", error.strerror)
        return False
    return True
