"""Whether two aligned images show anything in common."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError

# Less than this part of the smaller anatomy in common is no registration problem but a mistake.
LEAST_OVERLAP = 0.1
_SPACING = 4.0


def overlap(fixed_foreground: sitk.Image, moving_foreground: sitk.Image, transform: sitk.Transform) -> float:
    """Returns the volume that both anatomies share, as a part of the smaller one.

    Args:
        fixed_foreground: uint8 mask of the fixed anatomy.
        moving_foreground: uint8 mask of the moving anatomy.
        transform: Takes fixed points to moving points (LPS mm).
    """
    factors = [
        max(1, min(round(_SPACING / s), n // 4))
        for s, n in zip(fixed_foreground.GetSpacing(), fixed_foreground.GetSize(), strict=True)
    ]
    fixed = sitk.BinShrink(sitk.Cast(fixed_foreground, sitk.sitkFloat32), factors)
    moved = sitk.Resample(sitk.Cast(moving_foreground, sitk.sitkFloat32), fixed, transform)
    here, there = sitk.GetArrayViewFromImage(fixed), sitk.GetArrayViewFromImage(moved)
    shared = float(np.minimum(here, there).sum()) * float(np.prod(fixed.GetSpacing()))
    volumes = [
        float(sitk.GetArrayViewFromImage(mask).sum(dtype=np.float64)) * float(np.prod(mask.GetSpacing()))
        for mask in (fixed, moving_foreground)
    ]
    return min(shared / max(min(volumes), np.finfo(float).tiny), 1.0)


def check_overlap(
    fixed_foreground: sitk.Image, moving_foreground: sitk.Image, transform: sitk.Transform
) -> float:
    """Returns the overlap of two aligned anatomies; see `overlap`.

    Raises:
        UserError: When there is next to none.
    """
    found = overlap(fixed_foreground, moving_foreground, transform)
    if found < LEAST_OVERLAP:
        raise UserError(
            f"The fixed and the moving image do not overlap after alignment ({100 * found:.0f} % in common); "
            "check that both show the same anatomy, and try another alignment or an initial transform."
        )
    return found
