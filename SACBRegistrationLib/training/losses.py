"""The terms of the training loss."""

import torch
from torch.nn import functional as F

_VARIANCE_FLOOR = 1e-5


def local_ncc(warped: torch.Tensor, fixed: torch.Tensor, window: int = 9) -> torch.Tensor:
    """Returns the negated mean of the squared local normalised cross-correlation, as in VoxelMorph.

    With sums over a cube of `window` voxels a side, zero outside the volume, and n = window^3:
    cc = (sum IJ - sum I sum J / n)^2 / ((sum I^2 - (sum I)^2 / n)(sum J^2 - (sum J)^2 / n) + 1e-5).

    Args:
        warped: The warped moving image, [B, 1, D, H, W].
        fixed: The fixed image, same shape.
        window: Odd side of the cube, voxels.

    Returns:
        A scalar in [-1, 0]; -1 is best.
    """
    count = float(window**3)
    sum_i, sum_j, sum_ii, sum_jj, sum_ij = box_sums(
        torch.cat([warped, fixed, warped * warped, fixed * fixed, warped * fixed], dim=1), window
    ).split(1, dim=1)
    cross = sum_ij - sum_i * sum_j / count
    variance_i = sum_ii - sum_i * sum_i / count
    variance_j = sum_jj - sum_j * sum_j / count
    return -(cross * cross / (variance_i * variance_j + _VARIANCE_FLOOR)).mean()


def box_sums(maps: torch.Tensor, window: int) -> torch.Tensor:
    """Returns the sum over a cube of `window` voxels around every voxel, zero outside the volume.

    Args:
        maps: [B, C, D, H, W].
        window: Odd side of the cube, voxels.

    Returns:
        [B, C, D, H, W].
    """
    # One axis after the other costs 3 * window additions per voxel instead of window^3.
    for axis in range(3):
        kernel = [1, 1, 1]
        kernel[axis] = window
        maps = F.avg_pool3d(
            maps, kernel, stride=1, padding=[(k - 1) // 2 for k in kernel], divisor_override=1
        )
    return maps


def diffusion(displacement: torch.Tensor) -> torch.Tensor:
    """Returns the mean squared forward difference of a displacement field, averaged over the three axes.

    Args:
        displacement: [B, 3, D, H, W], voxels.
    """
    return sum(displacement.diff(dim=axis).square().mean() for axis in (2, 3, 4)) / 3


def soft_dice(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Returns the soft Dice overlap, averaged over the label channels that either volume holds.

    Per channel 2 sum(pq) / (sum(p^2) + sum(q^2)), which is 1 for equal partial volumes too.

    Args:
        first: Label fractions in [0, 1], [B, C, D, H, W].
        second: The same shape.

    Returns:
        A scalar in [0, 1]; 1 is best, and the value of two empty volumes.
    """
    overlap = 2 * (first * second).sum(dim=(2, 3, 4))
    size = first.square().sum(dim=(2, 3, 4)) + second.square().sum(dim=(2, 3, 4))
    present = size > 0
    if not present.any():
        return first.new_ones(())
    return (overlap[present] / size[present]).mean()


def folding_percent(displacement: torch.Tensor) -> torch.Tensor:
    """Returns the percentage of voxels whose map v -> v + phi(v) has a Jacobian determinant at or below 0.

    Args:
        displacement: [B, 3, D, H, W], voxels. The last voxel of each axis has no forward difference.
    """
    inner = (..., slice(-1), slice(-1), slice(-1))
    columns = [
        displacement[:, :, 1:, :-1, :-1] - displacement[inner],
        displacement[:, :, :-1, 1:, :-1] - displacement[inner],
        displacement[:, :, :-1, :-1, 1:] - displacement[inner],
    ]
    jacobian = torch.stack(columns, dim=-1).movedim(1, -2)
    jacobian = jacobian + torch.eye(3, dtype=jacobian.dtype, device=jacobian.device)
    return 100 * (torch.linalg.det(jacobian) <= 0).float().mean()
