"""Where and when a benchmark ran."""

import datetime
import os
import platform
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib import __version__


def circumstances(threads: int) -> dict:
    """Returns date, machine, threads and versions; nothing that names the machine or its user.

    Args:
        threads: CPU threads asked for; 0 for torch's choice.
    """
    load = getattr(os, "getloadavg", None)
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": _usable_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "threads": threads or torch.get_num_threads(),
        "load_before": load()[0] if load else None,
        "versions": {
            "SACBRegistration": __version__,
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "SimpleITK": sitk.Version.VersionString(),
            "numpy": np.__version__,
        },
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
