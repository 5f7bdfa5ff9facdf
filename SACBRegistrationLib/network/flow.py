"""Warping, upsampling and composition of flows in voxels (paper, equation 11)."""

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import cpu_sampling

_SLAB_VALUES = 2**20
_GPU_SLAB_VALUES = 2**20
_CONVERTED_VALUES = 2**24


def warp(volume: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Samples a volume at identity + flow, trilinearly, with zeros outside.

    Args:
        volume: [B, C, D, H, W].
        flow: [B, 3, D, H, W] in voxels, channels (d, h, w).

    Returns:
        [B, C, D, H, W]; result(v) = volume(v + flow(v)). Without gradients of the volume's type, which may
        be half precision.
    """
    if torch.is_grad_enabled():
        return F.grid_sample(volume, sampling_grid(flow), mode="bilinear", align_corners=True)
    return _warp_in_slabs(volume, flow) if flow.device.type == "cpu" else _warp_on_gpu(volume, flow)


def _warp_on_gpu(volume: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Warps without gradients; the sampling grid of a volume would take twice the flow's memory."""
    depth, height, width = flow.shape[2:]
    result = torch.empty_like(volume)
    planes = max(1, _GPU_SLAB_VALUES // (height * width))
    for start in range(0, depth, planes):
        slab = flow[:, :, start : start + planes]
        result[:, :, start : start + planes] = warp_planes(volume, slab, start)
    return result


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
    if volume.dtype == grid.dtype:
        return F.grid_sample(volume, grid, mode="bilinear", align_corners=True)
    # Halves are sampled in the flow's precision; a copy of all channels could be the largest tensor of all.
    channels = max(1, _CONVERTED_VALUES // volume[:, 0].numel())
    parts = [
        F.grid_sample(part.to(grid.dtype), grid, mode="bilinear", align_corners=True).to(volume.dtype)
        for part in volume.split(channels, dim=1)
    ]
    return torch.cat(parts, dim=1)


def _warp_in_slabs(volume: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Warps without gradients on a CPU; the result has the volume's layout.

    Torch gives each sample of a batch one thread, so the planes of a slab become a batch; the sampling grid
    of a slab is small where that of the volume would be as large as the flow.
    """
    batch, _, depth, height, width = flow.shape
    channels = volume.shape[1]
    last = volume.is_contiguous(memory_format=torch.channels_last_3d)
    result = torch.empty(
        (batch, channels, depth, height, width),
        dtype=volume.dtype,
        memory_format=torch.channels_last_3d if last else torch.contiguous_format,
    )
    threads = torch.get_num_threads()
    planes = max(1, min(depth, _SLAB_VALUES // (height * width * channels)) // threads * threads)
    for sample in range(batch):
        bags = cpu_sampling.is_worth_it(volume)
        voxels = volume[sample].permute(1, 2, 3, 0).contiguous() if bags else None
        for start in range(0, depth, planes):
            slab = flow[sample : sample + 1, :, start : start + planes]
            of_result = result[sample, :, start : start + planes]
            if bags:
                points = [own.flatten() for own in _coordinates(slab, start, depth)]
                sampled = cpu_sampling.sample(voxels, points).view(-1, height, width, channels)
                of_result.copy_(sampled.permute(3, 0, 1, 2))
                continue
            parts = threads if slab.shape[2] % threads == 0 else 1
            grid = sampling_grid(slab, start, depth)
            sampled = F.grid_sample(
                volume[sample : sample + 1].expand(parts, -1, -1, -1, -1),
                grid.reshape(parts, -1, *grid.shape[2:]),
                mode="bilinear",
                align_corners=True,
            )
            of_result.unflatten(1, (parts, -1)).copy_(sampled.transpose(0, 1))
    return result


def sampling_grid(flow: torch.Tensor, first: int = 0, depth: int | None = None) -> torch.Tensor:
    """Returns identity + flow as torch's sampling grid: (w, h, d) in [-1, 1].

    Args:
        flow: [B, 3, D, H, W] in voxels; may be a slab of a larger volume.
        first: The slab's first plane in the volume.
        depth: The volume's number of planes; None for D.

    Returns:
        [B, D, H, W, 3].
    """
    return torch.stack(_coordinates(flow, first, flow.shape[2] if depth is None else depth), dim=-1)


def _coordinates(flow: torch.Tensor, first: int, depth: int) -> list[torch.Tensor]:
    """Returns the parts of the sampling grid along w, h and d, each [B, D, H, W]."""
    coordinates = []
    sizes = (depth, *flow.shape[3:])
    for axis in (2, 1, 0):
        shape = [1, 1, 1, 1]
        shape[1 + axis] = flow.shape[2 + axis]
        begin = first if axis == 0 else 0
        identity = torch.arange(begin, begin + shape[1 + axis], device=flow.device, dtype=flow.dtype)
        # Rounded in the same order as published: random weights sharpen the difference a hundredfold.
        position = 2.0 * ((flow[:, axis] + identity.reshape(shape)) / max(sizes[axis] - 1, 1) - 0.5)
        coordinates.append(position)
    return coordinates


def upsample(flow: torch.Tensor) -> torch.Tensor:
    """Doubles the grid of a flow and its voxel values with it: up(2 flow), trilinear, corners aligned."""
    return F.interpolate(2.0 * flow, scale_factor=2, mode="trilinear", align_corners=True)


def compose(flow: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Returns the flow that follows `delta` first and `flow` from there: flow(v + delta(v)) + delta(v).

    Args:
        flow: [B, 3, D, H, W] in voxels, the flow the moving features were warped by.
        delta: [B, 3, D, H, W] in voxels, estimated on the warped features.
    """
    warped = warp(flow, delta)
    return warped + delta if torch.is_grad_enabled() else warped.add_(delta)
