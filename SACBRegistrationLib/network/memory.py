"""How much memory one forward pass takes, estimated before it starts."""

from enum import Enum

from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.network.slabs import SlabSettings


class Way(str, Enum):
    """How the full resolution is evaluated."""

    WHOLE = "whole"
    SLABS = "slabs"
    TIGHT = "tight"


WAYS = tuple(Way)

_SLABS = {
    Way.WHOLE: None,
    Way.SLABS: SlabSettings(planes=8, keep=True),
    Way.TIGHT: SlabSettings(planes=8, keep=False),
}

# Bytes per voxel of the network's input; the number of clusters hardly matters. On a CPU measured by
# Testing/Benchmarks/memory_estimate.py, with a tenth more. For a GPU counted by
# Testing/Benchmarks/memory_count.py, with a convolution's input and output once more as its work space where
# it goes over the whole volume, and a tenth more; not measured yet.
_PER_VOXEL = {
    "cpu": {Way.WHOLE: 121, Way.SLABS: 100, Way.TIGHT: 110},
    "cuda": {Way.WHOLE: 200, Way.SLABS: 115, Way.TIGHT: 101},
}
# What does not grow with the volume: buffers of K-Means and of tiles, on a GPU also the libraries' code.
_FIXED_BYTES = {"cpu": 115 * 2**20, "cuda": 512 * 2**20}
# Features take half the memory; flows, sampling grids and the images do not.
_HALF = 0.8


def ways_on(device_type: str) -> tuple[Way, ...]:
    """Returns the ways that are of use on a device, from the fastest to the one that takes the least memory.

    On a CPU, what thin slabs compute again takes as much memory as slabs store.

    Args:
        device_type: "cpu" or "cuda".
    """
    return WAYS if device_type == "cuda" else (Way.WHOLE, Way.SLABS)


def slab_settings(way: Way) -> SlabSettings | None:
    """Returns how the slabs of a way are made; None for the whole."""
    return _SLABS[way]


def estimate(voxels: int, way: Way, device_type: str, precision: Precision) -> int:
    """Returns the peak memory of a forward pass, bytes: fixed + voxels * bytes per voxel.

    Args:
        voxels: Of the network's input.
        way: How the full resolution is evaluated.
        device_type: "cpu" or "cuda".
        precision: Number type of the products.
    """
    return int(_FIXED_BYTES[device_type] + voxels * _per_voxel(way, device_type, precision))


def voxels_within(memory: int, way: Way, device_type: str, precision: Precision) -> int:
    """Returns how many voxels the input may have for a peak of `memory` bytes; 0 when none."""
    return max(0, int((memory - _FIXED_BYTES[device_type]) / _per_voxel(way, device_type, precision)))


def _per_voxel(way: Way, device_type: str, precision: Precision) -> float:
    share = _HALF if precision in (Precision.FLOAT16, Precision.BFLOAT16) else 1.0
    return share * _PER_VOXEL[device_type][way]
