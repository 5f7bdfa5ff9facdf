"""How alike two images are, by SSIM as scikit-image computes it."""

import importlib.util
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError

# The window of Wang et al. 2004: a Gaussian of 1.5 voxels, cut off at 3.5 standard deviations.
_SIGMA, _RADIUS = 1.5, 5
SMALLEST_SIDE = 2 * _RADIUS + 1
"""Voxels that every side of an image must have at least."""
_SLAB_VOXELS = 2**23


@dataclass(frozen=True)
class StructuralSimilarity:
    """Mean SSIM, at most 1, which is best.

    Attributes:
        volume: Over every voxel whose window lies inside the volume, the usual figure; much background makes
            it larger.
        anatomy: Over those of them that hold anatomy; NaN without a mask or when none does.
    """

    volume: float
    anatomy: float


def require_scikit_image() -> None:
    """Checks that SSIM can be computed.

    Raises:
        UserError: When scikit-image is not installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise UserError(
            'SSIM needs scikit-image; install it with pip install "sacb-registration[evaluation]", or leave '
            "SSIM out with --no-ssim."
        )


def structural_similarity(
    fixed: sitk.Image, warped: sitk.Image, mask: sitk.Image | None = None
) -> StructuralSimilarity:
    """Returns the mean structural similarity of two images with intensities in [0, 1].

    SSIM = (2 m_F m_W + C1) (2 c_FW + C2) / ((m_F^2 + m_W^2 + C1) (v_F + v_W + C2)) with means m, variances v
    and covariance c under a 3D Gaussian window of 1.5 voxels (11 a side), C1 = 0.01^2, C2 = 0.03^2 (Wang et
    al. 2004). The window is measured in voxels of the images' grid. Volumes are taken in slabs, which changes
    nothing but the memory needed.

    Args:
        fixed: Scalar image.
        warped: Scalar image on the same grid.
        mask: Anatomy on the same grid, not 0 is inside; None for none.

    Returns:
        The means; both NaN for a volume with a side below SMALLEST_SIDE.

    Raises:
        UserError: When scikit-image is not installed.
        ValueError: When the images do not lie on the same grid.
    """
    require_scikit_image()
    from skimage.metrics import structural_similarity as of_arrays

    if fixed.GetSize() != warped.GetSize() or (mask is not None and mask.GetSize() != fixed.GetSize()):
        raise ValueError("fixed, warped and mask must lie on the same grid")
    if min(fixed.GetSize()) < SMALLEST_SIDE:
        return StructuralSimilarity(float("nan"), float("nan"))
    first, second = (sitk.GetArrayViewFromImage(image) for image in (fixed, warped))
    inside = None if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    planes = len(first)
    depth = max(1, _SLAB_VOXELS // first[0].size)
    border = slice(_RADIUS, -_RADIUS)
    total, count, anatomy, voxels = 0.0, 0, 0.0, 0
    for start in range(_RADIUS, planes - _RADIUS, depth):
        stop = min(start + depth, planes - _RADIUS)
        part = slice(start - _RADIUS, stop + _RADIUS)
        _, values = of_arrays(
            first[part].astype(np.float32),
            second[part].astype(np.float32),
            data_range=1.0,
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
            full=True,
        )
        values = values[border, border, border]
        total += float(values.sum(dtype=np.float64))
        count += values.size
        if inside is not None:
            chosen = values[inside[start:stop, border, border]]
            anatomy += float(chosen.sum(dtype=np.float64))
            voxels += chosen.size
    return StructuralSimilarity(total / count, anatomy / voxels if voxels else float("nan"))
