"""Which Python runs a registration process, and in which environment."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT

PARENT = "SACB_REGISTRATION_PARENT"
"""Environment variable with the number of the process that a worker belongs to."""

_SLICER_PYTHON = "PythonSlicer"


def python_command() -> list[str]:
    """Returns the command that starts Python with the packages of this program.

    That is this very Python, but inside an application which embeds Python: Slicer's program PythonSlicer.

    Raises:
        UserError: When there is none.
    """
    own = sys.executable or ""
    if "python" in Path(own).name.lower():
        return [own]
    folders = [Path(own).parent] if own else []
    # Everywhere Slicer's Python is lib/Python beside bin; on macOS the application lies in another folder.
    folders += [Path(sys.prefix), Path(sys.prefix).parent.parent / "bin"]
    search = os.pathsep.join([os.environ.get("PATH", ""), *(str(folder) for folder in folders)])
    found = shutil.which(_SLICER_PYTHON, path=search)
    if found is None:
        raise UserError(
            "The program PythonSlicer, which runs the registration, was not found; it belongs to Slicer: "
            "repair or reinstall it."
        )
    return [found]


def worker_environment(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a registration process.

    It is the parent's (inside Slicer that is what its launcher made for Slicer's own libraries and packages)
    with UTF-8 for all text, OpenMP threads that sleep while they wait, and the parent's number. Nothing is
    added that leads to packages. PythonSlicer moreover does without the packages in the user's home folder,
    as Slicer itself does: they belong to another Python, and would be loaded before Slicer's NumPy or torch.

    Args:
        command: What starts Python.
        environment: The parent's variables.
    """
    # What a user sets for an interactive Python would make the worker wait or write where nobody looks.
    interactive = {"PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONBREAKPOINT"}
    result = {name: value for name, value in environment.items() if name not in interactive}
    result |= {
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUTF8": "1",
        **TORCH_ENVIRONMENT,
        PARENT: str(os.getpid()),
    }
    if Path(command[0]).name.lower().startswith(_SLICER_PYTHON.lower()):
        result["PYTHONNOUSERSITE"] = "1"
    return result
