"""How well structures of two volumes lie on each other, before and after a registration."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.evaluation.preimage import Preimage
from SACBRegistrationLib.evaluation.surface_distance import surface_distance, surface_of
from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.grid import Grid


@dataclass(frozen=True)
class StructureQuality:
    """Measures of one structure as (before, after); NaN where a measure has no meaning.

    Attributes:
        dice: Overlap, 0 to 1. 0 when the structure is missing on one side, NaN when on both.
        hd95: Robust Hausdorff distance, mm. NaN when the structure is missing on a side.
        assd: Average symmetric surface distance, mm. NaN when the structure is missing on a side.
    """

    dice: tuple[float, float]
    hd95: tuple[float, float]
    assd: tuple[float, float]

    def to_json(self) -> dict[str, list[float | None]]:
        """Returns {"dice": [before, after], "hd95": ..., "assd": ...}, with None for NaN."""
        return {
            name: [None if math.isnan(value) else value for value in pair]
            for name, pair in asdict(self).items()
        }


def structure_quality(
    fixed_mask: sitk.Image, moving_mask: sitk.Image, displacement_field: sitk.Image
) -> StructureQuality:
    """Returns the measures of one structure; see `evaluate_structures`."""
    return evaluate_structures({"": fixed_mask}, {"": moving_mask}, displacement_field)[""]


def evaluate_structures(
    fixed: Mapping[str, sitk.Image], moving: Mapping[str, sitk.Image], displacement_field: sitk.Image
) -> dict[str, StructureQuality]:
    """Returns Dice, HD95 and ASSD of every structure that both sides name, in the order of `fixed`.

    The moving structure is resampled with nearest neighbour on the fixed structure's own lattice: through
    the identity for "before", through T(x) = x + u(x) for "after". The lattice goes on beyond the fixed
    structure's image as far as the moving structure reaches, so that an image cut close to a structure does
    not hide errors, but the moving structure counts only inside the field, which is where T is known.
    A structure that is missing there (empty, outside the fixed volume before registration, or carried out of
    it) has Dice 0 and no distances; see `StructureQuality`.

    Args:
        fixed: Masks by name, not 0 is inside; each on any grid in fixed space.
        moving: Masks by name, each on any grid in moving space. A mask is asked for once, when its turn
            comes, so a mapping that makes masks on demand keeps memory low.
        displacement_field: Vector image u, LPS mm, fixed to moving points.
    """
    names = [name for name in fixed if name in moving]
    if not names:
        return {}
    preimage, transform = Preimage(displacement_field), as_transform(displacement_field)
    field = Grid.from_image(displacement_field)
    return {name: _evaluate(fixed[name], moving[name], field, preimage, transform) for name in names}


def _evaluate(
    fixed_mask: sitk.Image,
    moving_mask: sitk.Image,
    field: Grid,
    preimage: Preimage,
    transform: sitk.Transform,
) -> StructureQuality:
    lattice = Grid.from_image(fixed_mask)
    fixed, moving = _cropped(fixed_mask), _cropped(moving_mask)
    regions = [] if fixed is None else [Grid.from_image(fixed).corners(0)]
    if moving is not None:
        corners = Grid.from_image(moving).corners(0.5)
        regions.append(_common_box(lattice, corners, field.corners(0.5)))
        regions.append(preimage.corners(corners.min(axis=0), corners.max(axis=0)))
    regions = [region for region in regions if region is not None]
    if not regions:
        return StructureQuality(*[(float("nan"), float("nan"))] * 3)
    box = lattice.covering(np.concatenate(regions))
    inside = _inside(field, box)
    target = _on(box, fixed, None)
    sides = [_on(box, moving, step) * inside for step in (None, transform)]
    surface = surface_of(target)
    distances = [surface_distance(surface, surface_of(side)) for side in sides]
    return StructureQuality(
        dice=tuple(_dice(target, side) for side in sides),
        hd95=tuple(distance.hd95 for distance in distances),
        assd=tuple(distance.assd for distance in distances),
    )


def _cropped(mask: sitk.Image) -> sitk.Image | None:
    """Returns a mask of 0 and 1 cut to what is not 0, or None when everything is 0."""
    inside = sitk.GetArrayViewFromImage(mask) != 0
    first, last = [], []
    for axis in (2, 1, 0):
        found = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(found):
            return None
        first.append(int(found[0]))
        last.append(int(found[-1]))
    size = [b - a + 1 for a, b in zip(first, last, strict=True)]
    return sitk.Cast(sitk.NotEqual(sitk.RegionOfInterest(mask, size, first), 0), sitk.sitkUInt8)


def _common_box(lattice: Grid, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Returns the corners of what the boxes of two sets of points on a lattice share, or None."""
    a, b = lattice.to_index(first), lattice.to_index(second)
    low = np.maximum(a.min(axis=0), b.min(axis=0))
    high = np.minimum(a.max(axis=0), b.max(axis=0))
    return lattice.to_lps(np.stack((low, high))) if (low <= high).all() else None


def _inside(field: Grid, box: Grid) -> sitk.Image:
    """Returns 1 where a voxel of `box` lies in the field's buffer, as ITK understands it, 0 elsewhere."""
    index = field.to_index(box.corners(0))
    if (index >= -0.5).all() and (index <= np.asarray(field.size) - 0.5).all():
        return _filled(box)
    return box.resample(_filled(field), interpolator=sitk.sitkNearestNeighbor)


def _filled(grid: Grid) -> sitk.Image:
    image = sitk.Image(grid.size, sitk.sitkUInt8) + 1
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image


def _on(box: Grid, mask: sitk.Image | None, transform: sitk.Transform | None) -> sitk.Image:
    if mask is None:
        return _filled(box) * 0
    return box.resample(mask, transform, sitk.sitkNearestNeighbor)


def _dice(first: sitk.Image, second: sitk.Image) -> float:
    a, b = (sitk.GetArrayViewFromImage(image) != 0 for image in (first, second))
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")
