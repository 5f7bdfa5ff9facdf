"""Where the network runs and how it evaluates the full resolution, so that it fits into memory."""

import gc
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from SACBRegistrationLib.memory_errors import is_gpu_memory, is_host_memory
from SACBRegistrationLib.network.memory import Way, estimate, voxels_within, ways_on
from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.registration.devices import memory_budget

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")
# The network needs a side above 16 voxels.
_LEAST_VOXELS = 2 * 16**3
# Per voxel of the refinement's finest grid, measured by Testing/Benchmarks/memory_estimate.py, with a tenth
# more. Self-similarity holds the slopes of twelve channels.
_REFINEMENT_BYTES = {"ncc": 360, "mind": 1400}
_HOW = {
    Way.WHOLE: "as a whole",
    Way.SLABS: "with its full resolution in slabs",
    Way.TIGHT: "with its full resolution in thin slabs, which takes several times longer",
}

Option = TypeVar("Option")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Budget:
    """The memory that a run may take on a device, bytes."""

    device: torch.device
    memory: int


@dataclass(frozen=True)
class Place:
    """One way of running the network.

    Attributes:
        device: Where.
        way: How the full resolution is evaluated.
        precision: Number type of the products.
        memory: Estimated peak, bytes.
    """

    device: torch.device
    way: Way
    precision: Precision
    memory: int

    def __str__(self) -> str:
        """Returns it as the end of a sentence."""
        return f"on the {_name(self.device)} {_HOW[self.way]}"


@dataclass(frozen=True)
class Plan:
    """The ways of running the network that fit into memory.

    Attributes:
        places: The best first; never empty.
        note: A sentence for the report that says why the first is not the best of all; empty when it is.
    """

    places: tuple[Place, ...]
    note: str


def memory_budgets(device: torch.device, limit: float | None = None) -> list[Budget]:
    """Returns what a run may take on its device, and on the CPU when that does not suffice.

    Args:
        device: The device of choice.
        limit: Most memory on each, GB (10^9 bytes); None for most of what is free.
    """
    devices = [device] if device.type == "cpu" else [device, CPU]
    return [Budget(each, memory_budget(each, limit)) for each in devices]


def most_voxels(budgets: Sequence[Budget], precision: Precision) -> int:
    """Returns how many voxels a network grid may have on one of the devices at least.

    Args:
        budgets: The devices.
        precision: On a GPU.
    """
    return max(
        _LEAST_VOXELS,
        *(
            voxels_within(
                b.memory, ways_on(b.device.type)[-1], b.device.type, _precision_on(b.device, precision)
            )
            for b in budgets
        ),
    )


def refinement_memory(voxels: int, similarity: str) -> int:
    """Returns the peak memory of a refinement, bytes.

    Args:
        voxels: Of its finest grid.
        similarity: "ncc" or "mind".
    """
    return voxels * _REFINEMENT_BYTES[similarity]


def refinement_voxels(device: torch.device, similarity: str, limit: float | None = None) -> int:
    """Returns how many voxels a grid of the refinement may have.

    Args:
        device: Where it runs.
        similarity: "ncc" or "mind".
        limit: Most memory, GB (10^9 bytes), or None.
    """
    return max(16**3, memory_budget(device, limit) // _REFINEMENT_BYTES[similarity])


def make_plan(size: Sequence[int], precision: Precision, budgets: Sequence[Budget]) -> Plan:
    """Chooses the ways of running the network, before it starts.

    On the first device as a whole, in slabs, on a GPU in thin slabs; then on the next one. What does not fit
    is left out; when nothing does, the way that takes least is tried on the last device.

    Args:
        size: Of the network's grid, voxels.
        precision: On a GPU; a CPU computes in float32.
        budgets: The devices in order of preference.
    """
    voxels = math.prod(size)
    every, fitting = [], []
    for budget in budgets:
        kind, own = budget.device.type, _precision_on(budget.device, precision)
        for way in ways_on(kind):
            place = Place(budget.device, way, own, estimate(voxels, way, kind, own))
            every.append(place)
            if place.memory <= budget.memory:
                fitting.append(place)
    chosen = tuple(fitting or every[-1:])
    return Plan(chosen, _note(chosen[0], every, budgets))


def first_that_fits(
    options: Sequence[Option], run: Callable[[Option], Result], what: str
) -> tuple[Option, Result, list[str]]:
    """Runs the first option; when memory runs out all the same, the next one.

    Args:
        options: The best first; their text ends a sentence.
        run: Takes an option.
        what: What runs, as the beginning of a sentence.

    Returns:
        The option that ran, its result, and a sentence for each that did not fit.

    Raises:
        Exception: What the last option raised, or any option for another reason than memory.
        ValueError: When there are no options.
    """
    notes: list[str] = []
    for option, following in zip(options, [*options[1:], None], strict=True):
        try:
            return option, run(option), notes
        except Exception as error:
            if following is None or not (is_gpu_memory(error) or is_host_memory(error)):
                raise
            logger.warning("%s %s: %s: %s", what, option, type(error).__name__, error)
        # Only here has the exception let go of the tensors that filled the memory.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        notes.append(f"{what} ran out of memory {option}, so it ran once more {following}.")
    raise ValueError("there is nothing to choose from")


def on_device_or_cpu(
    run: Callable[[torch.device], Result], device: torch.device, what: str
) -> tuple[Result, list[str]]:
    """Runs something on a device, and on the CPU when the device's memory runs out.

    Args:
        run: Takes the device.
        device: The device of choice.
        what: What runs, as the beginning of a sentence.

    Returns:
        The result, and a sentence when it took the CPU.
    """
    options = [_Device(each) for each in dict.fromkeys((device, CPU))]
    _, result, notes = first_that_fits(options, lambda option: run(option.device), what)
    return result, notes


@dataclass(frozen=True)
class _Device:
    device: torch.device

    def __str__(self) -> str:
        return f"on the {_name(self.device)}"


def _note(chosen: Place, every: Sequence[Place], budgets: Sequence[Budget]) -> str:
    best, budget = every[0], budgets[0]
    if chosen == best:
        return ""
    ran = f"The network ran {chosen}"
    if chosen.device == best.device:
        needed = f"as a whole it needs about {_gb(best.memory)}"
    else:
        least = min(place.memory for place in every if place.device == best.device)
        needed = f"on the {_name(best.device)} it needs at least {_gb(least)}"
        if chosen.precision is not best.precision:
            ran += f" in {chosen.precision.value}"
    return f"{ran}: {needed}, and {_gb(budget.memory)} of the {_owner(best.device)} memory may be used."


def _precision_on(device: torch.device, precision: Precision) -> Precision:
    return precision if device.type == "cuda" else Precision.FLOAT32


def _name(device: torch.device) -> str:
    return "CPU" if device.type == "cpu" else "GPU"


def _owner(device: torch.device) -> str:
    return "computer's" if device.type == "cpu" else "GPU's"


def _gb(memory: int) -> str:
    return f"{memory / 1e9:.1f} GB"
