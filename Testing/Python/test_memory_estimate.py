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
MEASURED = (("whole", [64, 80, 96]), ("slabs", [64, 80, 96]), ("tight", [48, 48, 64]))


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
@pytest.mark.parametrize(("way", "size"), MEASURED)
def test_a_measured_peak_keeps_to_the_estimate(way, size):
    # A process each: what an earlier pass freed but the allocator kept would hide a later one's peak.
    asked = {"size": size, "clusters": 7, "way": way, "device": "cpu", "precision": "float32"}
    command = [sys.executable, str(BENCHMARKS / "memory_estimate.py"), "--one", json.dumps(asked)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["estimate"] == estimate(math.prod(size), Way(way), "cpu", Precision.FLOAT32)
    assert 0.2 * found["estimate"] < found["peak"] < 1.05 * found["estimate"]


@pytest.mark.parametrize(
    ("way", "precision"),
    [*((way, Precision.FLOAT32) for way in WAYS), (Way.WHOLE, Precision.FLOAT16)],
)
def test_tensors_on_a_gpu_keep_to_the_estimate(way, precision, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from memory_count import counted_peak

    counted = counted_peak(IXI, way, precision, triton=False)
    assert 0.3 < counted / estimate(math.prod(IXI), way, "cuda", precision) < 0.9
