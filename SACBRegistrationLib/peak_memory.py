"""The most memory this process has held."""

import ctypes
import logging
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

_STATUS_FILE = Path("/proc/self/status")


def peak_memory_bytes() -> int | None:
    """Returns the most main memory this process has held so far, or None where the system does not say."""
    if sys.platform == "win32":
        return _peak_on_windows()
    if _STATUS_FILE.exists():
        # What getrusage tells on Linux includes the program that started this one: Slicer's gigabytes.
        for line in _STATUS_FILE.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        logger.debug("this system does not tell the peak memory")
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        *(
            (name, ctypes.c_size_t)
            for name in (
                "peak_working_set",
                "working_set",
                "peak_paged_pool",
                "paged_pool",
                "peak_nonpaged_pool",
                "nonpaged_pool",
                "page_file",
                "peak_page_file",
            )
        ),
    )


def _peak_on_windows() -> int | None:
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    ask = kernel.K32GetProcessMemoryInfo
    ask.argtypes = (ctypes.c_void_p, ctypes.POINTER(_MemoryCounters), ctypes.c_uint32)
    ask.restype = ctypes.c_int
    counters = _MemoryCounters(size=ctypes.sizeof(_MemoryCounters))
    if not ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size):
        logger.debug("Windows does not tell the peak memory: error %s", ctypes.get_last_error())
        return None
    return counters.peak_working_set
