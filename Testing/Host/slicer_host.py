"""A stand-in for Slicer's application: the way into the test host.

    host = start_host()
    widget = host.load_module(path)          # the module's Python widget, its panel in the main window
    host.process_events(until=lambda: ..., timeout_s=30)
    host.grab(widget.parent, "panel.png", width=480)

There is one host in a process, for there is one QApplication.
"""

import os
import sys
from pathlib import Path
from typing import Any

HOST_FOLDER = Path(__file__).resolve().parent
MISSING = "PySide6 and slicer-core are needed: run.py setup installs them"


def is_available() -> bool:
    """Whether the packages the host stands on are installed."""
    from importlib.util import find_spec

    return find_spec("PySide6") is not None and find_spec("slicer") is not None


def start_host() -> Any:
    """Returns the host.Host of this process; the first call makes the application and its main window."""
    if not is_available():
        raise RuntimeError(MISSING)
    if str(HOST_FOLDER) not in sys.path:
        sys.path.insert(0, str(HOST_FOLDER))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from host.running import host

    return host()
