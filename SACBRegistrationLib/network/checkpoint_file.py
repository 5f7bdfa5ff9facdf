"""Reads a torch file of unknown origin: never runs code from it, and bounds what it may cost."""

import pickle
import zipfile
from pathlib import Path

import torch

from SACBRegistrationLib.careful_pickle import ForbiddenNameError
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.checkpoint_scan import is_archive, scan_torch_file

MOST_BYTES = 500_000_000
"""A network has 4.4 MB, and the published files hold sampling grids of 95 MB beside it."""


def read_torch_file(path: Path, name: str = "weights file", remedy: str | None = None) -> object:
    """Returns what a torch file holds, its tensors on the CPU.

    Args:
        path: The file; opened with `weights_only=True`.
        name: What the error sentences call it.
        remedy: What they advise; None leaves that to each.

    Raises:
        UserError: When the file is missing, no torch file, damaged, too large, or holds anything but tensors
            and plain data.
    """

    def refusal(what: str, usual: str) -> UserError:
        return UserError(f"The {name} {path} {what}; {remedy or usual}.")

    damaged = refusal("is damaged or no torch file", "download or convert it again")
    unsafe = refusal("holds something other than weights, so it is not opened", "give a file that you trust")
    try:
        if path.is_dir():
            raise refusal("is a folder", "give the path of a checkpoint")
        if not path.is_file():
            raise refusal("does not exist", "give the path of a checkpoint")
        size = path.stat().st_size
        if size == 0:
            raise refusal("is empty", "download or convert it again")
        unpacked = _unpacked_bytes(path)
        if max(size, unpacked) > MOST_BYTES:
            raise refusal("is too large to be a SACB-Net checkpoint", "give another file")
        if unpacked > size:
            # torch never packs, so only a file made to look small does.
            raise refusal(
                "unpacks to more than it holds, as no torch file does", "download or convert it again"
            )
        _check_sums(path)
        scan_torch_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"The {name} {path} may not be read; change its permissions.") from error
    except ForbiddenNameError as error:
        raise unsafe from error
    except pickle.UnpicklingError as error:
        # An unknown instruction of the format, rather than a known one that is not allowed.
        raise (unsafe if "GLOBAL" in str(error) else damaged) from error
    except Exception as error:
        # What a damaged file makes torch raise is not specified, and spans most kinds of exceptions.
        raise damaged from error


def _unpacked_bytes(path: Path) -> int:
    """Returns what the archive claims to unpack to; the reader unpacks no more. 0 for the older format."""
    if not is_archive(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _check_sums(path: Path) -> None:
    """Raises BadZipFile when a part of the archive is not what was written."""
    # A changed weight looks like any other, and would only show as a worse registration.
    if is_archive(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"wrong checksum in {broken}")
