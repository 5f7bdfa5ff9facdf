"""Tensors of the full resolution that are computed in ranges of planes, with what they are computed from.

A `Slabs` object stands for [B, C, D, H, W] without holding it: it computes any range of planes on demand,
with the neighbouring planes that the convolutions need.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from SACBRegistrationLib.network.flow import warp_planes
from SACBRegistrationLib.network.layers import NEGATIVE_SLOPE, convolve
from SACBRegistrationLib.network.precision import at_least_float32, without_autocast

# On a CPU torch leaves a single volume to a convolution ten times slower when its size without the last axis
# is at most this.
_MOST_FOR_SLOW = 20480


class Slabs(ABC):
    """A tensor [B, C, D, H, W] that is computed in ranges of planes along D."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""

    @abstractmethod
    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes the planes start to stop - 1, [B, C, stop - start, H, W]; 0 <= start < stop <= D."""

    @property
    def memory(self) -> torch.Tensor | None:
        """A tensor that holds nothing but what this is computed from, or None."""
        return None


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

    @property
    def memory(self) -> torch.Tensor | None:
        """Where the first is stored."""
        return self.first.memory


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
    """The result of a 3x3x3 convolution with padding 1.

    Attributes:
        source: [B, C_in, D, H, W].
        conv: The convolution.
        full: Convolve at least in float32, whatever the caller's autocast.
    """

    source: Slabs
    conv: nn.Conv3d
    full: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        batch, _, *sides = self.source.shape
        return (batch, self.conv.out_channels, *sides)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Computes a range of planes, see `Slabs`."""
        first, last = max(0, start - 1), min(self.shape[2], stop + 1)
        planes = self.source.read(first, last)
        if self.full:
            with without_autocast(planes.device.type):
                result = _convolved(at_least_float32(planes), self.conv)
        else:
            result = _convolved(planes, self.conv)
        # The outermost planes are right only where the volume ends.
        return result[:, :, start - first : stop - first]


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
        # What is stored stays as it is; what was computed for this call is overwritten.
        out = torch.empty_like(planes) if self.memory is not None else planes
        torch.addcmul(-self.mean * self.scale, planes, self.scale, out=out)
        return F.leaky_relu_(out, NEGATIVE_SLOPE)

    @property
    def memory(self) -> torch.Tensor | None:
        """Where the source is stored."""
        return self.source.tensor if isinstance(self.source, Stored) else None


def _convolved(planes: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
    """Convolves [B, C, planes, H, W]; in two overlapping halves where torch would take its slow way."""
    depth = planes.shape[2]
    small = planes.shape[0] == 1 and planes[..., 0].numel() <= _MOST_FOR_SLOW
    if planes.device.type != "cpu" or not small or depth < 4:
        return convolve(planes, conv.weight, conv.bias)
    half = (depth + 1) // 2
    halves = torch.cat([planes[:, :, : half + 1], planes[:, :, depth - half - 1 :]])
    first, second = convolve(halves, conv.weight, conv.bias).split(1)
    return torch.cat([first[:, :, :half], second[:, :, 1 + 2 * half - depth :]], dim=2)
