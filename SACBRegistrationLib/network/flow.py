"""Warping, upsampling and composition of flows in voxels (paper, equation 11)."""

import torch
from torch.nn import functional as F


def warp(volume: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Samples a volume at identity + flow, trilinearly, with zeros outside.

    Args:
        volume: [B, C, D, H, W].
        flow: [B, 3, D, H, W] in voxels, channels (d, h, w).

    Returns:
        [B, C, D, H, W]; result(v) = volume(v + flow(v)).
    """
    return F.grid_sample(volume, sampling_grid(flow), mode="bilinear", align_corners=True)


def sampling_grid(flow: torch.Tensor, depth: int | None = None, first: int = 0) -> torch.Tensor:
    """Returns identity + flow as torch's sampling grid [B, D, H, W, 3]: (w, h, d) in [-1, 1].

    Args:
        flow: [B, 3, D, H, W] in voxels, channels (d, h, w).
        depth: Planes along d of the volume to be sampled, where `flow` holds only some of them.
        first: The plane that the first one of `flow` belongs to.
    """
    coordinates = []
    for axis in (2, 1, 0):
        planes = flow.shape[2 + axis]
        size = depth if axis == 0 and depth is not None else planes
        shape = [1, 1, 1, 1]
        shape[1 + axis] = planes
        start = first if axis == 0 else 0
        identity = torch.arange(start, start + planes, device=flow.device, dtype=flow.dtype).reshape(shape)
        # Rounded in the same order as published: random weights sharpen the difference a hundredfold.
        coordinates.append(2.0 * ((flow[:, axis] + identity) / max(size - 1, 1) - 0.5))
    return torch.stack(coordinates, dim=-1)


def upsample(flow: torch.Tensor) -> torch.Tensor:
    """Doubles the grid of a flow and its voxel values with it: up(2 flow), trilinear, corners aligned."""
    return F.interpolate(2.0 * flow, scale_factor=2, mode="trilinear", align_corners=True)


def compose(flow: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Returns the flow that follows `delta` first and `flow` from there: flow(v + delta(v)) + delta(v).

    Args:
        flow: [B, 3, D, H, W] in voxels, the flow the moving features were warped by.
        delta: [B, 3, D, H, W] in voxels, estimated on the warped features.
    """
    return warp(flow, delta) + delta
