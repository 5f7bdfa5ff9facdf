"""How well the pair agrees as given, after the alignment and after everything."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.evaluation.local_ncc import mean_within, squared_correlation
from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.network_grid import network_grid
from SACBRegistrationLib.imaging.overlap import CommonView, common_view
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.registration.pair import PreparedImage

# At twice the preset's spacing noise counts for less, and local NCC takes an eighth of the time.
_NCC_COARSENING = 2
# Local NCC's windows reach so many voxels; nearer to the edge of the moving volume they hold its padding.
_WINDOW_REACH = 4


@dataclass(frozen=True)
class Agreement:
    """What fixed and moving image have in common; keys are "before", "aligned" and "after".

    Attributes:
        local_ncc: Local NCC over the fixed anatomy.
        within: Likewise, as far as the moving volume reaches; 0 where it reaches nothing.
        view: The anatomies after everything.
    """

    local_ncc: Mapping[str, float]
    within: Mapping[str, float]
    view: CommonView


def measure_agreement(
    fixed: PreparedImage, moving: PreparedImage, alignment: sitk.Transform, field: sitk.Image, spacing: float
) -> Agreement:
    """Compares the pair on one grid around the fixed anatomy.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        alignment: Takes fixed points to moving points, LPS mm.
        field: Displacement field of the whole transform, LPS mm.
        spacing: The preset's spacing, mm.
    """
    grid = _comparison_grid(fixed, _NCC_COARSENING * spacing)
    nearest = sitk.sitkNearestNeighbor
    anatomy = grid.resample(fixed.foreground, interpolator=nearest)
    if not sitk.GetArrayViewFromImage(anatomy).any():
        anatomy = sitk.Cast(anatomy == 0, sitk.sitkUInt8)
    target = resample(fixed.normalized, grid)
    transforms = {"before": None, "aligned": alignment, "after": as_transform(field)}
    images = {
        "before": resample(moving.normalized, grid),
        "aligned": resample(moving.normalized, grid, alignment),
        "after": resample(warp_volume(moving.normalized, transforms["after"], fixed.grid), grid),
    }
    everywhere = sitk.Image(moving.grid.size, sitk.sitkUInt8) + 1
    everywhere.CopyInformation(moving.image)
    scores, within = {}, {}
    for name, image in images.items():
        squared = squared_correlation(target, image)
        scores[name] = mean_within(squared, anatomy)
        reached = grid.resample(everywhere, transforms[name], nearest)
        within[name] = _within(squared, anatomy, reached, scores[name])
    view = common_view(fixed.foreground, moving.foreground, transforms["after"])
    return Agreement(scores, within, view)


def _comparison_grid(fixed: PreparedImage, spacing: float) -> Grid:
    box = bounding_box(fixed.foreground)
    return network_grid(fixed.grid, box, (16, 16, 16), spacing, fixed.grid.axis_codes, 2**26, spacing).grid


def _within(squared: np.ndarray, anatomy: sitk.Image, reached: sitk.Image, everywhere: float) -> float:
    """Returns local NCC over the anatomy where windows hold moving voxels alone, if there are such places."""
    deep = sitk.BinaryErode(reached, [_WINDOW_REACH] * 3, sitk.sitkBox)
    inside = sitk.GetArrayViewFromImage(anatomy) != 0
    if sitk.GetArrayViewFromImage(deep)[inside].all():
        return everywhere
    for region in (deep, reached):
        mask = sitk.And(region, anatomy)
        if sitk.GetArrayViewFromImage(mask).any():
            return mean_within(squared, mask)
    return 0.0
