"""Layers of the full resolution evaluated slab by slab, for memories that do not hold them as a whole.

What an instance normalisation must know of the whole volume is gathered in a pass of its own, or while the
convolution's result is stored.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from SACBRegistrationLib.network.flow import warp_planes
from SACBRegistrationLib.network.layers import NORM_EPS, ConvBlock
from SACBRegistrationLib.network.precision import at_least_float32
from SACBRegistrationLib.network.slab_sources import (
    Convolved,
    Joined,
    Normalized,
    Slabs,
    Stored,
)


@dataclass(frozen=True)
class SlabSettings:
    """How the slabs are made.

    Attributes:
        planes: Planes along D that are computed at once.
        keep: Store the result of every convolution, over its input where that fits. Otherwise everything is
            computed again from the stage's input whenever it is read, about three times the arithmetic, and
            only slabs lie in memory.
        report: Called before every slab.
    """

    planes: int = 16
    keep: bool = True
    report: Callable[[], None] = lambda: None


def convolve_block(block: ConvBlock, source: Slabs, settings: SlabSettings) -> Slabs:
    """Applies convolution, instance normalisation and LeakyReLU.

    Args:
        block: Only its convolution is read.
        source: [B, C, D, H, W]; must not be read afterwards when results are kept, as they may replace it.
        settings: How the slabs are made.
    """
    convolved, statistics = Convolved(source, block.conv), _Statistics()
    stored = _Collected(convolved.shape, source.memory)
    for start, stop in _ranges(convolved.shape[2], settings):
        planes = convolved.read(start, stop)
        statistics.add(planes)
        if settings.keep:
            stored.add(start, planes)
    kept = stored.finish()
    return Normalized(convolved if kept is None else Stored(kept), *statistics.mean_and_scale())


def computed_again(block: ConvBlock, source: Slabs, found: Normalized) -> Normalized:
    """Returns the result of a block that has been computed, without storing it.

    Args:
        block: The block.
        source: What it was applied to, as slabs that are computed again, too.
        found: What `convolve_block` returned: only its statistics are kept.
    """
    return Normalized(Convolved(source, block.conv), found.mean, found.scale)


def final_displacement(
    refine: Iterable[ConvBlock],
    estimate: Sequence[nn.Module],
    features: dict[str, Slabs],
    flow: torch.Tensor,
    settings: SlabSettings,
) -> torch.Tensor:
    """Computes the flow of the finest level and composes it with the incoming one.

    Args:
        refine: Blocks that go over the features of each image.
        estimate: Blocks that take both, fixed first, and last a convolution to 3 channels.
        features: "fixed" and "moving" to features of full resolution, the moving ones warped by `flow`;
            emptied, so that memory becomes free as soon as it can.
        flow: [B, 3, D, H, W] in voxels, the flow of the coarser levels.
        settings: How the slabs are made.

    Returns:
        [B, 3, D, H, W] in voxels: flow(v + delta(v)) + delta(v).
    """
    refined = {}
    # First the moving ones, whose whole volume lies in memory until they are warped and refined.
    for role in ("moving", "fixed"):
        source = features.pop(role)
        for block in refine:
            source = convolve_block(block, source, settings)
        refined[role] = source
    source = Joined(refined.pop("fixed"), refined.pop("moving"))
    *blocks, last = estimate
    for block in blocks:
        source = convolve_block(block, source, settings)
    # A flow in half precision would be off by hundredths of a voxel.
    source = Convolved(source, last, full=True)
    displacement = torch.empty_like(flow)
    for start, stop in _ranges(flow.shape[2], settings):
        delta = source.read(start, stop).to(flow.dtype)
        displacement[:, :, start:stop] = warp_planes(flow, delta, start).add_(delta)
    return displacement


def evaluate(source: Slabs, settings: SlabSettings) -> torch.Tensor:
    """Computes the whole tensor, in the memory of a normalised one that is stored: the source is used up."""
    result = _Collected(source.shape, source.memory)
    for start, stop in _ranges(source.shape[2], settings):
        result.add(start, source.read(start, stop))
    return result.finish()


def halve(source: Slabs, settings: SlabSettings) -> torch.Tensor:
    """Computes the mean of every 2x2x2 voxels, [B, C, D / 2, H / 2, W / 2]; D, H and W must be even."""
    even = replace(settings, planes=max(2, settings.planes // 2 * 2))
    parts = [F.avg_pool3d(source.read(*planes), 2) for planes in _ranges(source.shape[2], even)]
    return torch.cat(parts, dim=2)


def _empty_like(planes: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    last = planes.is_contiguous(memory_format=torch.channels_last_3d)
    memory_format = torch.channels_last_3d if last else torch.contiguous_format
    return torch.empty(shape, dtype=planes.dtype, device=planes.device, memory_format=memory_format)


def _ranges(depth: int, settings: SlabSettings) -> Iterable[tuple[int, int]]:
    for start in range(0, depth, settings.planes):
        settings.report()
        yield start, min(depth, start + settings.planes)


class _Collected:
    """Planes on their way into one tensor, which may be the one that they are computed from.

    Each slab is written once the next one, which needs its neighbouring plane as it was, has been computed.

    Args:
        shape: Of the tensor.
        memory: A tensor to overwrite when it fits, or None.
    """

    def __init__(self, shape: tuple[int, ...], memory: torch.Tensor | None) -> None:
        self._shape, self._memory = shape, memory
        self._result: torch.Tensor | None = None
        self._pending: tuple[int, torch.Tensor] | None = None

    def add(self, start: int, planes: torch.Tensor) -> None:
        """Takes the planes from `start` on, [B, C, planes, H, W]; slabs come in order."""
        self._write()
        self._pending = (start, planes)

    def finish(self) -> torch.Tensor | None:
        """Returns the tensor; None when there were no planes."""
        self._write()
        return self._result

    def _write(self) -> None:
        if self._pending is None:
            return
        start, planes = self._pending
        if self._result is None:
            memory = self._memory
            fits = memory is not None and tuple(memory.shape) == self._shape and memory.dtype == planes.dtype
            self._result = memory if fits else _empty_like(planes, self._shape)
        self._result[:, :, start : start + planes.shape[2]] = planes
        self._pending = None


class _Statistics:
    """Mean and variance of every channel of every sample, joined from slabs in float64.

    Slabs are joined by their means and squared deviations (Chan, Golub and LeVeque 1979): the difference of
    large sums would cancel.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: torch.Tensor | None = None
        self._squares: torch.Tensor | None = None

    def add(self, planes: torch.Tensor) -> None:
        """Adds a slab [B, C, planes, H, W]."""
        count = planes[0, 0].numel()
        variance, mean = torch.var_mean(at_least_float32(planes), dim=(2, 3, 4), correction=0, keepdim=True)
        mean, squares = mean.double(), variance.double() * count
        if self._mean is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total, difference = self._count + count, mean - self._mean
        self._squares = self._squares + squares + difference.square() * (self._count * count / total)
        self._mean = self._mean + difference * (count / total)
        self._count = total

    def mean_and_scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the mean and 1 / sqrt(variance + eps), [B, C, 1, 1, 1] float32."""
        variance = self._squares / self._count
        return self._mean.float(), (variance + NORM_EPS).rsqrt().float()
