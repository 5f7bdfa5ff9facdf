"""The private folder of a run: made for one user's eyes, and removed for certain."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from SACBRegistrationLib.errors import UserError

PREFIX = "SACBRegistration-"
_PAUSE_SECONDS = 0.05

logger = logging.getLogger(__name__)


def make_private_folder() -> Path:
    """Returns a new folder that nobody else may enter.

    Raises:
        UserError: When there is no place for temporary files.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise UserError(
            f"No folder for temporary files could be made ({error.strerror}); free space on the disk, or "
            "choose another folder for temporary files."
        ) from error


def remove_folder(folder: Path, patience: float = 2.0) -> bool:
    """Removes a folder with everything in it.

    A process that is still ending may make files meanwhile, or hold them open on Windows, so the removal is
    tried again until it succeeds.

    Args:
        folder: What to remove; it may be gone already.
        patience: Seconds after which to give up, with a warning in the log.

    Returns:
        Whether the folder is gone.
    """
    given_up = time.monotonic() + patience
    while os.path.lexists(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            break
        if time.monotonic() >= given_up:
            logger.warning("the temporary folder %s could not be removed", folder)
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def remove_steps(folder: Path) -> Generator[None, None, None]:
    """Removes a folder whose files nobody holds any more; yields after every file.

    What cannot be removed stays for `remove_folder`, which tries longer.
    """
    for path in sorted(folder.glob("**/*"), reverse=True):
        if not path.is_dir() or path.is_symlink():
            try:
                path.unlink()
            except OSError as error:
                logger.debug("%s could not be removed yet: %s", path, error)
            yield
    shutil.rmtree(folder, ignore_errors=True)
