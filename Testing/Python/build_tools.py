"""CMake and ninja for tests that configure a project: those of this environment, else the system's."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


def require_build_tools() -> dict[str, str]:
    """Returns the paths of cmake, ctest and ninja; skips the calling test where one is missing."""
    folders = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = {name: shutil.which(name, path=folders) for name in ("cmake", "ctest", "ninja")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which run.py setup installs")
    return found


def configure(tools: dict[str, str], source: Path, build: Path, *options: str) -> subprocess.CompletedProcess:
    """Runs CMake's configuration; the caller looks at the return code and what it said."""
    ours = [f"-DCMAKE_MAKE_PROGRAM={tools['ninja']}", f"-DPython3_EXECUTABLE={sys.executable}"]
    command = [tools["cmake"], "-S", source, "-B", build, "-G", "Ninja", *ours, *options]
    return subprocess.run(command, capture_output=True, text=True)
