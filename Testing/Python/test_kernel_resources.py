"""The Triton kernels compile for cards that are not here, and fit them."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from Benchmarks import kernel_resources
from shared_data import REPOSITORY


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("capability", [80, 90, 120])
def test_every_variant_fits(capability):
    found = list(kernel_resources.compile_all((capability,), (64,)))
    assert len(found) == 11
    for variant in found:
        assert variant.spilled == 0 and 16 <= variant.registers <= 255, variant
        assert variant.shared <= kernel_resources.LENT_BYTES, variant


def test_without_triton_it_says_what_to_do():
    script = REPOSITORY / "Testing" / "Benchmarks" / "kernel_resources.py"
    code = "import runpy, sys; sys.modules['triton'] = None; "
    code += f"runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install triton" in done.stderr
    assert "Traceback" not in done.stderr
