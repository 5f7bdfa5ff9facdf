"""The estimate of a forward pass's memory: against measured peaks on a CPU, and against counted tensors."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from shared_data import REPOSITORY

from SACBRegistrationLib.network.memory import WAYS, Way, estimate, voxels_within, ways_on
from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.presets import load_preset

BENCHMARKS = REPOSITORY / "Testing" / "Benchmarks"
IXI = load_preset("ixi").size
# From the least to the most, as the peak of a process never falls.
MEASURED = (("tight", [48, 48, 64]), ("slabs", [64, 80, 96]), ("whole", [64, 80, 96]))
MEASURE = """
import json, sys
sys.path.insert(0, {folder!r})
from memory_estimate import measure
print(json.dumps([measure(size, 7, way, "cpu", "float32") for way, size in {measured}]))
"""


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", Precision)
def test_every_way_takes_less_than_the_one_before(kind, precision):
    ways = ways_on(kind)
    needs = [estimate(math.prod(IXI), way, kind, precision) for way in ways]
    assert ways[0] == Way.WHOLE and needs == sorted(set(needs), reverse=True)
    for way, memory in zip(ways, needs, strict=True):
        assert voxels_within(memory, way, kind, precision) == pytest.approx(math.prod(IXI), abs=2)
    assert voxels_within(1000, Way.WHOLE, kind, precision) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the memory held now")
def test_measured_peaks_keep_to_the_estimate():
    code = MEASURE.format(folder=str(BENCHMARKS), measured=MEASURED)
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (way, size), found in zip(MEASURED, json.loads(done.stdout), strict=True):
        assert found["estimate"] == estimate(math.prod(size), Way(way), "cpu", Precision.FLOAT32)
        assert 0.2 * found["estimate"] < found["peak"] < 1.05 * found["estimate"], way


@pytest.mark.parametrize(
    ("way", "precision"),
    [*((way, Precision.FLOAT32) for way in WAYS), (Way.WHOLE, Precision.FLOAT16)],
)
def test_tensors_on_a_gpu_keep_to_the_estimate(way, precision, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from memory_count import counted_peak

    counted = counted_peak(IXI, way, precision, triton=False)
    assert 0.3 < counted / estimate(math.prod(IXI), way, "cuda", precision) < 0.9
