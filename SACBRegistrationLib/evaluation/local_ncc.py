"""How alike two images are, by squared local normalised cross-correlation."""

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.tensors import to_array, to_tensor

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
    if mask is not None and mask.GetSize() != fixed.GetSize():
        raise ValueError("fixed, warped and mask must lie on the same grid")
    return mean_within(squared_correlation(fixed, warped, window), mask)


def squared_correlation(fixed: sitk.Image, warped: sitk.Image, window: int = 9) -> np.ndarray:
    """Returns the squared local correlation coefficient of every voxel, [z, y, x] float32; see `local_ncc`.

    Raises:
        ValueError: When sizes differ or the window is even.
    """
    if fixed.GetSize() != warped.GetSize():
        raise ValueError("fixed, warped and mask must lie on the same grid")
    if window % 2 == 0:
        raise ValueError(f"the window must be odd, not {window}")
    first, second = _standardized(fixed), _standardized(warped)
    depth = max(1, _SLAB_VOXELS // (first.shape[1] * first.shape[2]))
    reach, squared = window // 2, np.empty(tuple(first.shape), np.float32)
    for start in range(0, first.shape[0], depth):
        stop = min(start + depth, first.shape[0])
        low, high = max(start - reach, 0), min(stop + reach, first.shape[0])
        slab = _squared_correlation(first[low:high], second[low:high], window)
        squared[start:stop] = to_array(slab[start - low : stop - low])
    return squared


def mean_within(values: np.ndarray, mask: sitk.Image | None) -> float:
    """Returns the mean of voxels [z, y, x] where a mask is not 0; None takes every voxel.

    Raises:
        ValueError: When the mask is empty.
    """
    chosen = values if mask is None else values[sitk.GetArrayViewFromImage(mask) != 0]
    if not chosen.size:
        raise ValueError("the mask is empty")
    return float(chosen.mean(dtype=np.float64))


def _standardized(image: sitk.Image) -> torch.Tensor:
    """Returns the voxels with mean 0 and variance 1, so that float32 window sums keep their digits."""
    values = sitk.GetArrayViewFromImage(image)
    deviation = float(values.std(dtype=np.float64)) or 1.0
    return to_tensor(((values - values.mean(dtype=np.float64)) / deviation).astype(np.float32))


def _squared_correlation(first: torch.Tensor, second: torch.Tensor, window: int) -> torch.Tensor:
    a, b = first, second
    mean_a, mean_b = _window_mean(a, window), _window_mean(b, window)
    covariance = _window_mean(a * b, window) - mean_a * mean_b
    variance_a = (_window_mean(a * a, window) - mean_a * mean_a).clamp(min=0)
    variance_b = (_window_mean(b * b, window) - mean_b * mean_b).clamp(min=0)
    return (covariance * covariance / (variance_a * variance_b + _EPSILON)).clamp(max=1)


def _window_mean(image: torch.Tensor, window: int) -> torch.Tensor:
    """Returns the mean over a cube around every voxel of [z, y, x], of the voxels that exist.

    One product per axis with a matrix of window weights takes a quarter of the time of pooling.
    """
    z, y, x = (_window_weights(size, window) for size in image.shape)
    rows = y @ (image @ x.T)
    return (z @ rows.flatten(1)).view(image.shape)


def _window_weights(size: int, window: int) -> torch.Tensor:
    place = torch.arange(size)
    near = ((place[:, None] - place).abs() <= window // 2).float()
    return near / near.sum(dim=1, keepdim=True)
