"""Where the run computes, and how much memory it may take there."""

import ctypes
import os
import sys
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError

# The rest is for other programs, and for what an estimate misses.
_SHARE_OF_FREE_MEMORY = {"cpu": 0.7, "cuda": 0.85}
# Half a common computer's; the largest bundled preset fits into it.
_FALLBACK_BYTES = 8 * 2**30
_MEMORY_FILE = Path("/proc/meminfo")


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


def memory_budget(device: torch.device, limit: float | None = None) -> int:
    """Returns how many bytes a run may take on a device, from what is free there now.

    Args:
        device: The device.
        limit: Most of it, GB (10^9 bytes), or None.
    """
    free = _free_on_gpu(device) if device.type == "cuda" else available_memory_bytes()
    share = int(free * _SHARE_OF_FREE_MEMORY[device.type])
    return share if limit is None else min(share, int(limit * 1e9))


def _free_on_gpu(device: torch.device) -> int:
    # What torch keeps for later tensors is free, too.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def available_memory_bytes() -> int:
    """Returns the main memory that programs can have now, file caches included; a guess where unknown."""
    if _MEMORY_FILE.exists():
        # Pages without any use are few on a machine that has been up for long: caches fill the rest.
        for line in _MEMORY_FILE.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _available_on_windows()
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _FALLBACK_BYTES


def _available_on_windows() -> int:
    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "available", "a", "b", "c", "d", "e")),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return _FALLBACK_BYTES
    return status.available
