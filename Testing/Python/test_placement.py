"""Where the network runs and how, by the memory that may be taken."""

import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_pairs import make_small_pair, write_preset, write_weights

from SACBRegistrationLib import UserError, register
from SACBRegistrationLib.network.memory import WAYS, Way, estimate, voxels_within, ways_on
from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration import devices, inference, placement, refining
from SACBRegistrationLib.registration.placement import (
    Budget,
    first_that_fits,
    make_plan,
    memory_budgets,
    most_voxels,
    on_device_or_cpu,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PRESETS = ("ixi", "lpba", "abdomen-ct")
IXI = load_preset("ixi").size
# A card holds back what the driver and other programs take.
CARD_8, CARD_4 = 0.85 * 7e9, 0.85 * 3.2e9
OUT_OF_GPU = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def plan(gpu, cpu, size=IXI, precision=Precision.FLOAT32):
    return make_plan(size, precision, [Budget(GPU, int(gpu)), Budget(CPU, int(cpu))])


def ways(found):
    return [(place.device.type, place.way) for place in found.places]


def need(kind, way, size=IXI, precision=Precision.FLOAT32):
    return estimate(size[0] * size[1] * size[2], way, kind, precision)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("memory", "allowed"), [(CARD_8, WAYS[:2]), (CARD_4, WAYS[:3])])
def test_presets_run_on_small_cards_at_their_own_grid(preset, memory, allowed):
    size = load_preset(preset).size
    budgets = [Budget(GPU, int(memory)), Budget(CPU, 0)]
    assert most_voxels(budgets, Precision.FLOAT32) >= size[0] * size[1] * size[2]
    first = make_plan(size, Precision.FLOAT32, budgets).places[0]
    assert first.device == GPU and first.way in allowed and first.memory <= memory


def test_ways_give_way_in_order():
    everything = [(kind, way) for kind in ("cuda", "cpu") for way in ways_on(kind)]
    assert [way.value for _, way in everything] == ["whole", "slabs", "tight", "whole", "slabs"]
    assert ways(plan(1e12, 1e12)) == everything and plan(1e12, 1e12).note == ""
    for number, (kind, way) in enumerate(everything):
        enough = need(kind, way)
        found = plan(enough, 1e12) if kind == "cuda" else plan(0, enough)
        assert ways(found) == everything[number:] if kind == "cuda" else everything[number:]
        assert (found.note == "") is (number == 0)
        # One byte less, and the next way has to do.
        less = plan(enough - 1, 1e12) if kind == "cuda" else plan(0, enough - 1)
        assert ways(less)[0] == everything[min(number + 1, 4)]


def test_reasons_are_given():
    slabs = plan(need("cuda", Way.WHOLE) - 1, 1e12).note
    assert slabs.startswith(
        "The network ran on the GPU with its full resolution in slabs: as a whole it needs"
    )
    assert slabs.endswith("of the GPU's memory may be used.")
    cpu = plan(0.1e9, 1e12, precision=Precision.FLOAT16).note
    assert cpu.startswith("The network ran on the CPU as a whole in float32: on the GPU it needs at least")
    assert "0.1 GB of the GPU's memory may be used" in cpu
    tight = plan(need("cuda", Way.TIGHT), 0).note
    assert "thin slabs, which takes several times longer" in tight and "GPU's memory" in tight
    alone = make_plan(IXI, Precision.FLOAT32, [Budget(CPU, need("cpu", Way.SLABS))]).note
    assert "on the CPU with its full resolution in slabs" in alone and "computer's memory" in alone


def test_half_precision_is_the_gpus_alone():
    found = plan(1e12, 1e12, precision=Precision.BFLOAT16)
    assert {(p.device.type, p.precision.value) for p in found.places} == {
        ("cuda", "bfloat16"),
        ("cpu", "float32"),
    }
    assert found.places[0].memory < plan(1e12, 1e12).places[0].memory


def test_the_grid_gives_way_last():
    budgets = [Budget(GPU, int(0.3e9)), Budget(CPU, int(0.4e9))]
    most = most_voxels(budgets, Precision.FLOAT32)
    # Whichever device holds more, in the way that takes least.
    assert most == max(
        voxels_within(b.memory, ways_on(b.device.type)[-1], b.device.type, Precision.FLOAT32) for b in budgets
    )
    side = int(most ** (1 / 3))
    assert make_plan((side,) * 3, Precision.FLOAT32, budgets).places[0].memory <= 0.4e9
    assert most_voxels([Budget(CPU, 0)], Precision.FLOAT32) == 2 * 16**3


def test_a_limit_bounds_every_device(monkeypatch):
    monkeypatch.setattr(devices, "_free_on_gpu", lambda device: int(10e9))
    monkeypatch.setattr(devices, "available_memory_bytes", lambda: int(20e9))
    free = [b.memory for b in memory_budgets(GPU)]
    assert free == [int(10e9 * 0.85), int(20e9 * 0.7)]
    assert [b.memory for b in memory_budgets(GPU, 1.5)] == [int(1.5e9)] * 2
    assert [b.memory for b in memory_budgets(GPU, 100)] == free
    assert [b.device for b in memory_budgets(CPU)] == [CPU]
    for similarity in ("ncc", "mind"):
        most = placement.refinement_voxels(CPU, similarity, 0.45)
        assert placement.refinement_memory(most, similarity) <= 0.45e9
        assert placement.refinement_memory(most + 1, similarity) > 0.45e9


@pytest.mark.parametrize("error", [OUT_OF_GPU, RuntimeError("CUDA error: out of memory"), MemoryError()])
def test_running_out_leads_to_the_next_way(error, caplog):
    tried = []

    def run(option):
        tried.append(option)
        if len(tried) < 3:
            raise error
        return 7

    option, result, notes = first_that_fits(["on A", "on B", "on C", "on D"], run, "The network")
    assert (option, result, tried) == ("on C", 7, ["on A", "on B", "on C"])
    assert notes == [
        "The network ran out of memory on A, so it ran once more on B.",
        "The network ran out of memory on B, so it ran once more on C.",
    ]
    assert caplog.text.count(type(error).__name__) == 2


def test_the_last_way_and_other_errors_are_not_caught():
    def fail(option):
        raise OUT_OF_GPU

    with pytest.raises(torch.cuda.OutOfMemoryError):
        first_that_fits(["on A", "on B"], fail, "The network")
    calls = []

    def mistaken(option):
        calls.append(option)
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert"):
        first_that_fits(["on A", "on B"], mistaken, "The network")
    assert calls == ["on A"]


def test_refinement_goes_to_the_cpu():
    calls = []

    def run(device):
        calls.append(device)
        if device == GPU:
            raise OUT_OF_GPU
        return "refined"

    assert on_device_or_cpu(run, GPU, "The refinement") == (
        "refined",
        ["The refinement ran out of memory on the GPU, so it ran once more on the CPU."],
    )
    assert calls == [GPU, CPU]
    assert on_device_or_cpu(lambda device: device, CPU, "x") == (CPU, [])


@pytest.fixture(scope="module")
def pair():
    return make_small_pair()


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    files = {"preset": write_preset(folder), "weights": write_weights(folder)}
    return {**files, "refine": 0, "alignment": "none", "device": "cpu", "clusters": 3}


@pytest.fixture(scope="module")
def whole(pair, choices):
    return register(pair.fixed, pair.moving, **choices)


def field(result):
    return sitk.GetArrayFromImage(result.displacement_field)


def test_a_run_goes_the_way_that_fits_and_says_so(pair, choices, whole, monkeypatch):
    way, report = Way.SLABS, whole.report
    assert report["network_run"]["full_resolution"] == "whole" and report["notes"] == []
    size = report["network_grid"]["size"]
    monkeypatch.setattr(placement, "memory_budget", lambda device, limit: need("cpu", way, size))
    fractions = []
    found = register(
        pair.fixed,
        pair.moving,
        **choices,
        progress=lambda fraction, stage: fractions.append(fraction) if stage == "network" else None,
    )
    assert found.report["network_run"] == {
        **report["network_run"],
        "full_resolution": way.value,
        "estimated_memory_bytes": need("cpu", way, size),
    }
    assert found.report["network_grid"] == report["network_grid"]
    (note,) = found.report["notes"]
    assert "full resolution in" in note
    assert fractions == sorted(fractions) and len(set(fractions)) > 50
    away = np.abs(field(found) - field(whole))
    assert np.quantile(away, 0.99) < 0.05 and np.abs(field(whole)).max() > 1


def test_a_run_that_runs_out_of_memory_goes_on(pair, choices, whole, monkeypatch):
    tried, run_network = [], inference.run_network

    def run(network, fixed, moving, alignment, placed, place, passes, progress):
        tried.append(place.way)
        if len(tried) == 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory")
        return run_network(network, fixed, moving, alignment, placed, place, passes, progress)

    monkeypatch.setattr(inference, "run_network", run)
    found = register(pair.fixed, pair.moving, **choices)
    assert tried == [Way.WHOLE, Way.SLABS]
    assert found.report["notes"] == [
        "The network ran out of memory on the CPU as a whole, so it ran once more on the CPU with its full "
        "resolution in slabs."
    ]
    assert np.quantile(np.abs(field(found) - field(whole)), 0.99) < 0.05


@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_a_refinement_that_takes_more_memory_gets_a_coarser_grid(pair, choices, correlation, monkeypatch):
    class LookedAtError(Exception):
        pass

    def look(levels, *_):
        seen.append(levels[-1].fixed.numel())
        raise LookedAtError

    seen, most = [], 20_000
    budget = placement.refinement_memory(most, "mind")
    monkeypatch.setattr(placement, "memory_budget", lambda device, limit: budget)
    monkeypatch.setattr(refining, "weighted_correlation", lambda level: correlation)
    monkeypatch.setattr(sys.modules[register.__module__], "refine", look)
    with pytest.raises(LookedAtError):
        register(pair.fixed, pair.moving, **{**choices, "weights": "none", "refine": 2})
    # Without correlation, self-similarity has to serve.
    assert (seen[0] <= most) is (correlation == 0.0)
    assert placement.refinement_memory(seen[0], "ncc") <= budget


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"memory_limit": 0.01}, "^The memory limit must be between 0.2 and 10000 GB, not 0.01.$"),
        ({"memory_limit": float("nan")}, "^The memory limit must be between"),
        ({"precision": "double"}, '^The precision "double" is unknown'),
        ({"precision": "float16"}, "^The precision float16 needs a GPU"),
    ],
)
def test_impossible_choices_are_refused(pair, choices, choice, sentence):
    with pytest.raises(UserError, match=sentence):
        register(pair.fixed, pair.moving, **choices, **choice)
