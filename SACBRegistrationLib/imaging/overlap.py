"""Whether two aligned images show anything in common."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid

# Less than this part of the smaller anatomy in common is no registration problem but a mistake.
LEAST_OVERLAP = 0.1
_SPACING = 4.0


@dataclass(frozen=True)
class CommonView:
    """What both volumes show of each other's anatomy.

    Attributes:
        seen: Part of the fixed anatomy that the moving volume reaches, 0 to 1.
        dice: Dice of both anatomies where the two volumes reach; 0 where they share nothing.
    """

    seen: float
    dice: float


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


def common_view(
    fixed_foreground: sitk.Image, moving_foreground: sitk.Image, transform: sitk.Transform
) -> CommonView:
    """Compares two anatomies within the volume that both images show, whatever lies beyond it.

    Args:
        fixed_foreground: uint8 mask of the fixed anatomy over the whole fixed volume.
        moving_foreground: uint8 mask of the moving anatomy over the whole moving volume.
        transform: Takes fixed points to moving points (LPS mm).
    """
    steps = [max(1, round(_SPACING / spacing)) for spacing in fixed_foreground.GetSpacing()]
    coarse = fixed_foreground[:: steps[0], :: steps[1], :: steps[2]]
    grid, nearest = Grid.from_image(coarse), sitk.sitkNearestNeighbor
    # 1 beyond the anatomy, 2 inside it, so that 0 is left for what the moving volume does not reach.
    shown = sitk.Cast(moving_foreground != 0, sitk.sitkUInt8) + 1
    moved = sitk.GetArrayFromImage(grid.resample(shown, transform, nearest))
    here, reached, there = sitk.GetArrayViewFromImage(coarse) != 0, moved > 0, moved == 2
    total = int((here & reached).sum()) + int(there.sum())
    return CommonView(
        seen=float(reached[here].mean()) if here.any() else 0.0,
        dice=2 * int((here & there).sum()) / total if total else 0.0,
    )
