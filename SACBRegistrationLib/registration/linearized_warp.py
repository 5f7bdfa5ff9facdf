"""A warped image as a linear function of small changes of its displacement."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class LinearizedWarp:
    """W(v; u) = M(v + u0(v)) + grad M(v + u0(v)) . (u(v) - u0(v)), for the voxels of a region.

    Sampling a volume takes as long as all the rest of a refinement step, and a step moves a voxel by a small
    part of its size: a few steps share one sampling.

    Attributes:
        region: [N] flat indices of the voxels, d-major.
        start: [3, N] the displacement u0 there, voxels.
        value: [C, N] the volume at v + u0(v), zero outside it.
        slope: [C, 3, N] its derivative there along d, h and w, per voxel.
        shape: D, H, W.
    """

    region: torch.Tensor
    start: torch.Tensor
    value: torch.Tensor
    slope: torch.Tensor
    shape: tuple[int, int, int]

    def warped(self, displacement: torch.Tensor) -> torch.Tensor:
        """Returns the warped volume [1, C, D, H, W], zero outside the region, for [1, 3, D, H, W] voxels."""
        change = _gathered(displacement, self.region) - self.start
        values = self.value + (self.slope * change).sum(1)
        result = values.new_zeros(len(values), self.shape[0] * self.shape[1] * self.shape[2])
        return result.index_copy_(1, self.region, values).view(1, -1, *self.shape)

    def pulled_back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Takes a gradient by the warped [1, C, D, H, W] to one by the displacement [1, 3, D, H, W]."""
        of_region = _gathered(gradient, self.region)
        values = (self.slope * of_region[:, None]).sum(0)
        result = values.new_zeros(3, self.shape[0] * self.shape[1] * self.shape[2])
        return result.index_copy_(1, self.region, values).view(1, 3, *self.shape)


def linearize_warp(volume: torch.Tensor, displacement: torch.Tensor, region: torch.Tensor) -> LinearizedWarp:
    """Samples a volume and its derivative at identity + displacement.

    Args:
        volume: [1, C, D, H, W].
        displacement: [1, 3, D, H, W] in voxels.
        region: [N] flat indices of the voxels that count, d-major.
    """
    shape = tuple(volume.shape[2:])
    start = _gathered(displacement, region)
    height, width = shape[1:]
    indices = (region // (height * width), region // width % height, region % width)
    scales = [2 / max(side - 1, 1) for side in shape]
    # Torch's order is (w, h, d), in [-1, 1].
    lines = [(start[axis] + indices[axis]) * scales[axis] - 1 for axis in (2, 1, 0)]
    # Torch gives each sample of a batch one thread.
    parts = torch.get_num_threads() if volume.device.type == "cpu" else 1
    points = torch.stack(lines, dim=-1)
    padded = F.pad(points, [0, 0, 0, -len(points) % parts])
    grid = padded.view(parts, 1, 1, -1, 3)
    # One channel at a time: the derivative of several at once is their sum.
    channels = [_sampled(channel.expand(parts, -1, -1, -1, -1), grid) for channel in volume.split(1, dim=1)]
    value = torch.stack([values.flatten()[: len(points)] for values, _ in channels])
    slope = torch.stack([slopes.view(-1, 3)[: len(points)] for _, slopes in channels])
    slope = slope.flip(-1).movedim(-1, 1) * value.new_tensor(scales)[:, None]
    return LinearizedWarp(region, start, value, slope, shape)


def _sampled(volume: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples one channel [P, 1, D, H, W] on a grid [P, 1, 1, N, 3]; returns values and their derivative."""
    with torch.enable_grad():
        grid = grid.detach().requires_grad_()
        values = F.grid_sample(volume, grid, align_corners=True)
        (slope,) = torch.autograd.grad(values, grid, torch.ones_like(values))
    return values.detach(), slope


def _gathered(maps: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    return maps[0].flatten(1).index_select(1, region)
