"""What makes torch fast beside other programs: environment variables, and how memory is handed out."""

import ctypes
import os
import platform
from collections.abc import MutableMapping

TORCH_ENVIRONMENT = {
    # Threads that wait by spinning slow a run down several times on a machine that does other work too.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Memory that was never used before is slow to come by: glibc keeps what is freed for the next tensor,
    # instead of giving every large one back. It reads these when a process starts.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
"""For a process that is started; torch reads the first when it is imported."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Gives this process, and those that it starts, what TORCH_ENVIRONMENT says.

    Only for programs of our own, before they import torch: inside another program its memory is not ours to
    rule.

    Args:
        environment: Variables that are there already keep their values.
    """
    unset = {name: value for name, value in TORCH_ENVIRONMENT.items() if name not in environment}
    environment.update(unset)
    # Other C libraries have no such choice. Where a user has made one, it counts.
    if platform.libc_ver()[0] == "glibc" and {"MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"} <= set(unset):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _MOST)
