"""Where the run computes, and how large a grid fits there."""

import logging
import os

import torch

from SACBRegistrationLib.errors import UserError

logger = logging.getLogger(__name__)

_BYTES_PER_VOXEL = 450
_SHARE_OF_FREE_MEMORY = 0.7
_FALLBACK_BYTES = 4 * 2**30


def choose_device(name: str) -> torch.device:
    """Returns the device of a setting "auto", "cpu" or "cuda".

    Raises:
        UserError: When the name is unknown, or CUDA is asked for and absent.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f'The device "{name}" is unknown; choose auto, cpu or cuda.')
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("CUDA is asked for but no usable GPU was found; choose --device auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Returns the device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def most_voxels(device: torch.device) -> int:
    """Returns how many voxels a network grid may have, from the memory free now and what a voxel needs."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        free = _FALLBACK_BYTES
    return max(16**3, int(free * _SHARE_OF_FREE_MEMORY / _BYTES_PER_VOXEL))


def peak_memory_bytes() -> int | None:
    """Returns the most memory this process has held so far, or None where the system does not say."""
    try:
        import resource
    except ImportError:
        logger.debug("this system does not tell the peak memory")
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
