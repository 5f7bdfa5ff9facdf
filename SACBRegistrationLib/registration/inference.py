"""Running the network on a pair, and its clusters as label images."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.cluster_maps import cluster_map, level_image, order_by_intensity
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.network_grid import NetworkGrid, network_grid
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.network import SACBNet, SACBNetResult
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.network.memory import Way, slab_settings
from SACBRegistrationLib.network.precision import Precision, using_precision
from SACBRegistrationLib.network.symmetric import symmetric_passes
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.pair import PreparedImage
from SACBRegistrationLib.registration.placement import (
    Budget,
    Place,
    first_that_fits,
    make_plan,
    most_voxels,
)

logger = logging.getLogger(__name__)

# How often the whole of the full resolution is gone through: six blocks and two poolings of the encoder, the
# moving features, and seven layers of the final flow.
SLAB_PASSES = 16


@dataclass(frozen=True)
class NetworkOutput:
    """What the network found for a pair.

    Attributes:
        displacement: [1, 3, D, H, W] in voxels of the grid, on the CPU.
        grid: The network grid, in fixed space.
        message: What had to give way in placing the grid; empty when nothing.
        cluster_maps: (level, role) to label images in fixed space, clusters 1 to N from dark to bright. From
            level 4 on, the moving ones are those of the moving image as warped by the coarser levels.
        place: Where and how the network ran.
        passes: Rounds in both directions, see `symmetric_passes`.
        notes: Sentences about what had to give way for memory; for the report.
    """

    displacement: torch.Tensor
    grid: Grid
    message: str
    cluster_maps: Mapping[tuple[int, str], sitk.Image]
    place: Place
    passes: int = 0
    notes: tuple[str, ...] = ()


def run_where_it_fits(
    network: SACBNet,
    fixed: PreparedImage,
    moving: PreparedImage,
    alignment: sitk.Transform,
    preset: Preset,
    precision: Precision,
    budgets: Sequence[Budget],
    passes: int = 0,
    progress: Progress = Progress(),
) -> NetworkOutput:
    """Places the grid and runs the network where, and in the way that, memory allows.

    The grid gives way last: only when the CPU in thin slabs does not hold it either.

    Args:
        network: In evaluation mode.
        fixed: The fixed image.
        moving: The moving image.
        alignment: Takes fixed points to moving points, LPS mm.
        preset: The preset.
        precision: Number type of the products on a GPU.
        budgets: The devices in order of preference, with the memory that may be taken.
        passes: Rounds in both directions, see `symmetric_passes`.
        progress: Reported to before every layer or slab.

    Raises:
        CancelledError: When the progress says so.
    """
    placed = place_grid(fixed, preset, network.info, most_voxels(budgets, precision))
    plan = make_plan(placed.grid.size, precision, budgets)

    def run(place: Place) -> NetworkOutput:
        logger.info("The network runs %s, about %.1f GB.", place, place.memory / 1e9)
        return run_network(network, fixed, moving, alignment, placed, place, passes, progress)

    _, output, failed = first_that_fits(plan.places, run, "The network")
    return replace(output, notes=tuple(note for note in (plan.note, *failed) if note))


def place_grid(fixed: PreparedImage, preset: Preset, info: Mapping[str, object], most: int) -> NetworkGrid:
    """Returns the network's grid on the fixed anatomy.

    A checkpoint that records the spacing, extent and axes it was trained with is run as it was trained;
    otherwise the preset decides.

    Args:
        fixed: The fixed image.
        preset: The preset.
        info: Metadata of the checkpoint.
        most: Most voxels that fit into memory.
    """
    low, high = info.get("spacing_mm") or (preset.spacing, preset.spacing)
    spacing = min(max(preset.spacing, low), high)
    extent = info.get("extent_mm") or [side * preset.spacing for side in preset.size]
    return network_grid(
        fixed.grid,
        bounding_box(fixed.foreground),
        tuple(length / preset.spacing for length in extent),
        preset.spacing,
        str(info.get("axes") or preset.axes),
        most,
        spacing,
    )


def run_network(
    network: SACBNet,
    fixed: PreparedImage,
    moving: PreparedImage,
    alignment: sitk.Transform,
    placed: NetworkGrid,
    place: Place,
    passes: int = 0,
    progress: Progress = Progress(),
) -> NetworkOutput:
    """Runs the network on the pair, moving resampled through the alignment.

    Args:
        network: In evaluation mode.
        fixed: The fixed image.
        moving: The moving image.
        alignment: Takes fixed points to moving points, LPS mm.
        placed: Where the network works.
        place: Where and how to compute.
        passes: Rounds in both directions, see `symmetric_passes`.
        progress: Reported to before every layer or slab.

    Raises:
        CancelledError: When the progress says so.
    """
    device = place.device
    fixed_tensor = image_to_tensor(resample(fixed.normalized, placed.grid)).to(device)
    moving_tensor = image_to_tensor(resample(moving.normalized, placed.grid, alignment)).to(device)
    network = network.to(device)
    with torch.inference_mode():
        way = _in_its_way(network, place.way, placed.grid.size[0], 2 * passes or 1, progress)
        with way, using_precision(place.precision, device):
            result = symmetric_passes(network, moving_tensor, fixed_tensor, passes)
        maps = cluster_maps(result, fixed_tensor, moving_tensor, placed.grid, network.clusters)
    displacement = result.displacement.float().cpu().clone()
    return NetworkOutput(displacement, placed.grid, placed.message, maps, place, passes)


@contextmanager
def _in_its_way(network: SACBNet, way: Way, depth: int, runs: int, progress: Progress) -> Iterator[None]:
    """Has the network run in its way while the block runs, and report before every layer and slab.

    A pair at full resolution can take a CPU minutes.
    """
    layers = [module for module in network.modules() if next(module.children(), None) is None]
    slabs = slab_settings(way)
    # Both images pass through nearly every layer.
    expected, calls = 2 * len(layers), [0]
    if slabs is not None:
        expected += SLAB_PASSES * math.ceil(depth / slabs.planes)
    expected *= runs

    def report(*_) -> None:
        progress.report(calls[0] / expected)
        calls[0] += 1

    hooks = [layer.register_forward_pre_hook(report) for layer in layers]
    former = network.slabs
    network.slabs = None if slabs is None else replace(slabs, report=report)
    try:
        yield
    finally:
        network.slabs = former
        for hook in hooks:
            hook.remove()


def cluster_maps(
    result: SACBNetResult,
    fixed: torch.Tensor,
    moving: torch.Tensor,
    grid: Grid,
    clusters: Mapping[int, int],
) -> dict[tuple[int, str], sitk.Image]:
    """Returns the clusters of every level and role as label images, numbered by ascending mean intensity.

    Args:
        result: The network's result.
        fixed: [1, 1, D, H, W], as given to the network.
        moving: Same shape.
        grid: The network grid.
        clusters: Number of clusters per level.
    """
    maps = {}
    for (level, role), context in result.contexts.items():
        image = level_image(fixed if role == "fixed" else moving, level)
        if role == "moving" and level in result.incoming:
            image = warp(image, result.incoming[level])
        rank = order_by_intensity(context.labels, image, clusters[level])
        maps[level, role] = cluster_map(context.labels, rank, grid, level)
    return maps
