"""How alike two images are, by squared local normalised cross-correlation."""

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

_SLAB_VOXELS = 2**22
# Relative to images of unit variance: a window with less contrast than this says nothing.
_EPSILON = 1e-5


def local_ncc(
    fixed: sitk.Image, warped: sitk.Image, mask: sitk.Image | None = None, window: int = 9
) -> float:
    """Returns the mean squared local correlation coefficient, in [0, 1]; 1 is best.

    cc(v) = cov(F, W)^2 / (var(F) var(W) + eps) over a cube of `window` voxels a side around v, the measure
    that VoxelMorph and SACB-Net are trained with (there negated, and with zeros around the volume; here
    windows at the border hold the voxels that exist). Squared, it is blind to the contrast's sign. Windows
    without contrast count as 0.

    Args:
        fixed: Scalar image.
        warped: Scalar image on the same grid.
        mask: Image on the same grid; the mean is taken where it is not 0. None takes every voxel.
        window: Odd side of the cube, voxels.

    Raises:
        ValueError: When sizes differ, the window is even, or the mask is empty.
    """
    if fixed.GetSize() != warped.GetSize() or (mask is not None and mask.GetSize() != fixed.GetSize()):
        raise ValueError("fixed, warped and mask must lie on the same grid")
    if window % 2 == 0:
        raise ValueError(f"the window must be odd, not {window}")
    first, second = _standardized(fixed), _standardized(warped)
    inside = None if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    depth = max(1, _SLAB_VOXELS // (first.shape[1] * first.shape[2]))
    total, count, reach = 0.0, 0, window // 2
    for start in range(0, first.shape[0], depth):
        stop = min(start + depth, first.shape[0])
        low, high = max(start - reach, 0), min(stop + reach, first.shape[0])
        squared = _squared_correlation(first[low:high], second[low:high], window)[start - low : stop - low]
        if inside is not None:
            squared = squared[torch.from_numpy(inside[start:stop])]
        total += float(squared.sum(dtype=torch.float64))
        count += squared.numel()
    if not count:
        raise ValueError("the mask is empty")
    return total / count


def _standardized(image: sitk.Image) -> torch.Tensor:
    """Returns the voxels with mean 0 and variance 1, so that float32 window sums keep their digits."""
    values = sitk.GetArrayViewFromImage(image)
    deviation = float(values.std(dtype=np.float64)) or 1.0
    return torch.from_numpy(((values - values.mean(dtype=np.float64)) / deviation).astype(np.float32))


def _squared_correlation(first: torch.Tensor, second: torch.Tensor, window: int) -> torch.Tensor:
    a, b = first[None, None], second[None, None]
    mean_a, mean_b = _window_mean(a, window), _window_mean(b, window)
    covariance = _window_mean(a * b, window) - mean_a * mean_b
    variance_a = (_window_mean(a * a, window) - mean_a * mean_a).clamp(min=0)
    variance_b = (_window_mean(b * b, window) - mean_b * mean_b).clamp(min=0)
    return (covariance * covariance / (variance_a * variance_b + _EPSILON)).clamp(max=1)[0, 0]


def _window_mean(image: torch.Tensor, window: int) -> torch.Tensor:
    """Returns the mean over a cube around every voxel of [1, 1, z, y, x], of the voxels that exist."""
    reach = window // 2
    for axis in range(3):
        kernel, padding, shape = [1, 1, 1], [0] * 6, [1] * 5
        kernel[axis] = window
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
        place = torch.arange(image.shape[2 + axis])
        shape[2 + axis] = -1
        existing = place.clamp(max=reach) + 1 + place.flip(0).clamp(max=reach)
        sums = F.avg_pool3d(F.pad(image, padding), kernel, stride=1, divisor_override=1)
        image = sums / existing.view(shape)
    return image
