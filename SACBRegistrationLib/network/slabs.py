"""Layers of the full resolution evaluated slab by slab, for memories that do not hold them as a whole.

A `Slabs` object stands for [B, C, D, H, W] without holding it: it computes any range of planes on demand,
with the neighbouring planes that the convolutions need. What an instance normalisation must know of the whole
volume is gathered in a pass of its own, or while the convolution's result is stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from SACBRegistrationLib.network.flow import sampling_grid
from SACBRegistrationLib.network.layers import NEGATIVE_SLOPE, NORM_EPS, ConvBlock


class Slabs(ABC):
    """A tensor [B, C, D, H, W] that is computed in ranges of planes along D."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""

    @abstractmethod
    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes the planes start to stop - 1, [B, C, stop - start, H, W]; 0 <= start < stop <= D."""


@dataclass(frozen=True)
class Stored(Slabs):
    """Planes of a tensor in memory [B, C, D, H, W]."""

    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        return tuple(self.tensor.shape)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        return self.tensor[:, :, start:stop]


@dataclass(frozen=True)
class Joined(Slabs):
    """The channels of one after those of the other."""

    first: Slabs
    second: Slabs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        batch, channels, *sides = self.first.shape
        return (batch, channels + self.second.shape[1], *sides)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        return torch.cat([self.first.read(start, stop), self.second.read(start, stop)], dim=1)


@dataclass(frozen=True)
class Warped(Slabs):
    """A volume [B, C, D, H, W] sampled at identity + flow, see `warp`; flow [B, 3, D, H, W] in voxels."""

    volume: torch.Tensor
    flow: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        return tuple(self.volume.shape)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        return warp_planes(self.volume, self.flow[:, :, start:stop], start)


@dataclass(frozen=True)
class Convolved(Slabs):
    """The result of a 3x3x3 convolution with padding 1."""

    source: Slabs
    conv: nn.Conv3d

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        batch, _, *sides = self.source.shape
        return (batch, self.conv.out_channels, *sides)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        depth = self.shape[2]
        first, last = max(0, start - 1), min(depth, stop + 1)
        planes = self.source.read(first, last)
        # Zeros only where the volume ends: elsewhere the neighbouring planes were read.
        padding = (first - (start - 1), (stop + 1) - last)
        if any(padding):
            planes = F.pad(planes, [0, 0, 0, 0, *padding])
        return F.conv3d(planes, self.conv.weight, self.conv.bias, padding=(0, 1, 1))


@dataclass(frozen=True)
class Normalized(Slabs):
    """Instance normalisation with known statistics [B, C, 1, 1, 1], then LeakyReLU."""

    source: Slabs
    mean: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        return self.source.shape

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        planes = self.source.read(start, stop)
        normalized = planes.sub(self.mean).mul_(self.scale)
        return F.leaky_relu_(normalized.to(planes.dtype), NEGATIVE_SLOPE)


@dataclass(frozen=True)
class SlabSettings:
    """How the slabs are made.

    Attributes:
        planes: Planes along D that are computed at once.
        keep: Store the result of every convolution until the next one is done, two tensors of 8 channels at
            once, with no arithmetic twice. Otherwise everything is computed again from the stage's input
            whenever it is read, about three times the arithmetic, and only slabs lie in memory.
        report: Called before every slab.
    """

    planes: int = 16
    keep: bool = True
    report: Callable[[], None] = lambda: None


def convolve_block(block: ConvBlock, source: Slabs, settings: SlabSettings) -> Slabs:
    """Applies convolution, instance normalisation and LeakyReLU; what the result is made of stays referenced.

    Args:
        block: Only its convolution is read.
        source: [B, C, D, H, W].
        settings: How the slabs are made.
    """
    convolved, statistics, stored = Convolved(source, block.conv), _Statistics(), None
    for start, stop in _ranges(convolved.shape[2], settings):
        planes = convolved.read(start, stop)
        statistics.add(planes)
        if settings.keep:
            stored = _empty_like(planes, convolved.shape) if stored is None else stored
            stored[:, :, start:stop] = planes
    return Normalized(convolved if stored is None else Stored(stored), *statistics.mean_and_scale())


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
    refined = []
    for role in ("fixed", "moving"):
        source = features.pop(role)
        for block in refine:
            source = convolve_block(block, source, settings)
        refined.append(source)
    source = Joined(*refined)
    refined.clear()
    *blocks, last = estimate
    for block in blocks:
        source = convolve_block(block, source, settings)
    source = Convolved(source, last)
    displacement = torch.empty_like(flow)
    for start, stop in _ranges(flow.shape[2], settings):
        delta = source.read(start, stop).to(flow.dtype)
        displacement[:, :, start:stop] = warp_planes(flow, delta, start).add_(delta)
    return displacement


def warp_planes(volume: torch.Tensor, flow: torch.Tensor, first: int) -> torch.Tensor:
    """Samples a volume at identity + flow for some planes of the result, see `warp`.

    Args:
        volume: [B, C, D, H, W].
        flow: [B, 3, planes, H, W] in voxels.
        first: Index of the first plane.

    Returns:
        [B, C, planes, H, W] of the volume's type.
    """
    grid = sampling_grid(flow, first, volume.shape[2])
    sampled = F.grid_sample(volume.to(grid.dtype), grid, mode="bilinear", align_corners=True)
    return sampled.to(volume.dtype)


def evaluate(source: Slabs, settings: SlabSettings) -> torch.Tensor:
    """Computes the whole tensor."""
    result = None
    for start, stop in _ranges(source.shape[2], settings):
        planes = source.read(start, stop)
        if result is None:
            result = planes.new_empty(source.shape)
        result[:, :, start:stop] = planes
    return result


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


def _at_least_float32(planes: torch.Tensor) -> torch.Tensor:
    return planes.to(torch.promote_types(planes.dtype, torch.float32))


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
        variance, mean = torch.var_mean(_at_least_float32(planes), dim=(2, 3, 4), correction=0, keepdim=True)
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
