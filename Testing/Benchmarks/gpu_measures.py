"""Measurements of the network on one device, for gpu.py; each returns plain numbers and texts."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from SACBRegistrationLib.benchmark.published import PublishedSACBNet
from SACBRegistrationLib.network import SACBNet, SACBNetResult, triton_support
from SACBRegistrationLib.network.memory import Way, estimate, slab_settings
from SACBRegistrationLib.network.precision import Precision, using_precision

Images = tuple[torch.Tensor, torch.Tensor]
"""Moving and fixed [1, 1, D, H, W]."""


def timed(run: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 3) -> dict:
    """Returns the milliseconds of some calls and the most memory that tensors took, bytes.

    On a GPU the first calls, which load libraries and choose kernels, do not count, and the milliseconds are
    those of the device, from events, one call after the other.
    """
    if device.type != "cuda":
        milliseconds = []
        for _ in range(repeats):
            begun = time.perf_counter()
            run()
            milliseconds.append(1000 * (time.perf_counter() - begun))
        return {**_summary(milliseconds), "allocated": None, "reserved": None}
    for _ in range(warm_up):
        run()
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    milliseconds = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        milliseconds.append(begin.elapsed_time(end))
    return {
        **_summary(milliseconds),
        "allocated": torch.cuda.max_memory_allocated(device),
        "reserved": torch.cuda.max_memory_reserved(device),
    }


def forward(
    network: SACBNet, images: Images, precision: Precision, way: Way, repeats: int, expected: SACBNetResult
) -> dict:
    """Measures one way of running the forward pass.

    Args:
        network: On the device, in evaluation mode.
        images: Moving and fixed, there too.
        precision: Number type of the products.
        way: How the full resolution is evaluated.
        repeats: Calls that count.
        expected: The float32 result whose displacement and clusters are the measure.

    Returns:
        Times and memory of `timed`; "estimate", bytes; the distance of the displacement from the expected one
        in voxels, with clusters of its own ("own_") and with the expected ones ("same_"), mean and largest;
        "waits": what made the host wait for the device, or None.
    """
    device = images[0].device
    with in_way(network, way), torch.inference_mode(), using_precision(precision, device):
        found = timed(lambda: network(*images), device, repeats)
        own, same = network(*images), network(*images, contexts=expected.contexts)
        waits = host_waits(lambda: network(*images), device)
    return {
        **found,
        "estimate": estimate(images[0].numel(), way, device.type, precision),
        **distance("own", own.displacement, expected.displacement),
        **distance("same", same.displacement, expected.displacement),
        "waits": waits,
    }


def published(network: SACBNet, images: Images, repeats: int) -> dict:
    """Measures the published computation with the network's parameters."""
    reference = PublishedSACBNet(network.state_dict(), network.clusters)
    with using_precision(Precision.FLOAT32, images[0].device):
        return timed(lambda: reference(*images), images[0].device, repeats, warm_up=1)


def host_waits(run: Callable[[], object], device: torch.device) -> str | None:
    """Returns what made the host wait for the device; None when nothing did, or there is no GPU."""
    if device.type != "cuda":
        return None
    former = torch.cuda.get_sync_debug_mode()
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    except RuntimeError as error:
        return " ".join(str(error).split())[:300]
    finally:
        torch.cuda.set_sync_debug_mode(former)
    return None


def operators(network: SACBNet, images: Images, precision: Precision, most: int = 15) -> list[dict]:
    """Returns where a forward pass spends its time: operators, calls, milliseconds of the device."""
    device = images[0].device
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.inference_mode(), using_precision(precision, device):
        network(*images)
        with torch.profiler.profile(activities=activities) as profile:
            network(*images)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
    rows = [
        {"operator": event.key[:70], "calls": event.count, "milliseconds": _own_time(event, device) / 1000}
        for event in profile.key_averages()
    ]
    return sorted(rows, key=lambda row: -row["milliseconds"])[:most]


def distance(name: str, found: torch.Tensor, expected: torch.Tensor) -> dict[str, float]:
    """Returns mean and largest distance of two displacements [1, 3, D, H, W], in voxels."""
    away = (found.double() - expected.double()).norm(dim=1)
    return {f"{name}_mean": float(away.mean()), f"{name}_largest": float(away.max())}


@contextmanager
def in_way(network: SACBNet, way: Way) -> Iterator[None]:
    """Has the network evaluate the full resolution in a way while the block runs."""
    former, network.slabs = network.slabs, slab_settings(way)
    try:
        yield
    finally:
        network.slabs = former


@contextmanager
def kernels(environment: dict[str, str], on: bool) -> Iterator[None]:
    """Switches the Triton kernels while the block runs.

    Args:
        environment: os.environ.
        on: Whether they may be used.
    """
    former = environment.get(triton_support.SWITCH)
    environment[triton_support.SWITCH] = "1" if on else "0"
    triton_support._obstacle.cache_clear()
    try:
        yield
    finally:
        if former is None:
            del environment[triton_support.SWITCH]
        else:
            environment[triton_support.SWITCH] = former
        triton_support._obstacle.cache_clear()


def ratio(slow: Mapping, fast: Mapping) -> float:
    """Returns how many times faster the second is, by the medians."""
    return slow["median_ms"] / fast["median_ms"]


def _own_time(event, device: torch.device) -> float:
    if device.type != "cuda":
        return event.self_cpu_time_total
    # Its name has changed.
    return getattr(event, "self_device_time_total", None) or getattr(event, "self_cuda_time_total", 0.0)


def _summary(milliseconds: list[float]) -> dict:
    return {
        "best_ms": min(milliseconds),
        "median_ms": statistics.median(milliseconds),
        "runs": len(milliseconds),
    }
