"""Where tests of the Triton kernels run: on a GPU, or else in Triton's interpreter in another process."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CUDA = torch.cuda.is_available() and not INTERPRETED
DEVICE = torch.device("cuda" if CUDA else "cpu")

needs_kernels = pytest.mark.skipif(
    find_spec("triton") is None or not (CUDA or INTERPRETED),
    reason="needs Triton, and a GPU or its interpreter (TRITON_INTERPRET=1)",
)
runs_the_interpreter = pytest.mark.skipif(
    find_spec("triton") is None or CUDA or INTERPRETED,
    reason="Triton is not installed, or its kernels run in this process",
)


def passed_in_the_interpreter(file: str) -> int:
    """Runs a file's tests with Triton's interpreter and returns how many passed; fails when one did not.

    Triton decides when it is imported, which torch may have done in this process.
    """
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(file))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return int(done.stdout.split(" passed")[0].split()[-1])
