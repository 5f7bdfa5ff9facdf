"""What the alignment compares: a pair reduced to one resolution, and where it counts."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

# Fat, vessels and metal would leave all tissue in a few bins of the histogram.
_BRIGHTEST_PERCENTILE = 99.0
_DARKEST_PERCENTILE = 0.1
# Fewer voxels along an axis leave too few samples and no gradient.
_FEWEST_VOXELS = 8
# The moving image is continued beyond its edge, so that a tight crop does not hide the head's outline, mm.
_CONTINUATION = 20.0


@dataclass(frozen=True)
class AlignmentSide:
    """One image of the pair, ready to be reduced.

    Attributes:
        image: float32, outliers clipped.
        foreground: uint8 mask of the anatomy, on the image's grid.
        mask: The user's mask on the image's grid, or None.
        center: Centre of the anatomy, LPS mm, [3].
        radius: Radius of the ball that has the anatomy's volume, mm.
    """

    image: sitk.Image
    foreground: sitk.Image
    mask: sitk.Image | None
    center: np.ndarray
    radius: float


@dataclass(frozen=True)
class AlignmentLevel:
    """The pair at one resolution.

    Attributes:
        fixed: float32 image.
        moving: float32 image, continued beyond its edge.
        fixed_mask: Where the pair is compared.
        moving_mask: Where the moving image may be used, or None for everywhere.
    """

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image
    moving_mask: sitk.Image | None


def alignment_side(image: sitk.Image, foreground: sitk.Image, mask: sitk.Image | None) -> AlignmentSide:
    """Clips outliers of an image; its anatomy is narrowed to the mask where there is one."""
    values, inside = sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(foreground) != 0
    low, high = np.percentile(values[inside], (_DARKEST_PERCENTILE, _BRIGHTEST_PERCENTILE))
    if not inside.all():
        low = min(low, np.median(values[~inside]))
    if low < high:
        image = sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high))
    if mask is not None:
        both = sitk.And(foreground, mask)
        foreground = both if sitk.GetArrayViewFromImage(both).any() else mask
    shape = _shape(foreground)
    return AlignmentSide(
        sitk.Cast(image, sitk.sitkFloat32),
        foreground,
        mask,
        np.asarray(shape.GetCentroid(1)),
        shape.GetEquivalentSphericalRadius(1),
    )


def alignment_level(
    fixed: AlignmentSide, moving: AlignmentSide, spacing: float, reach: float
) -> AlignmentLevel:
    """Reduces a pair by averaging whole blocks of voxels.

    Args:
        fixed: The fixed side.
        moving: The moving side.
        spacing: Aimed at, mm; axes that are coarser stay as they are.
        reach: How far around the fixed anatomy the pair is compared, mm; a user's mask is taken as it is.
    """
    fixed_image = _reduced(fixed.image, spacing)
    moving_image = _reduced(moving.image, spacing)
    pad = [int(np.ceil(_CONTINUATION / s)) for s in moving_image.GetSpacing()]
    moving_mask = None if moving.mask is None else _reduced_mask(moving.mask, spacing)
    if fixed.mask is None:
        around = _reduced_mask(fixed.foreground, spacing)
        distance = sitk.SignedMaurerDistanceMap(around, squaredDistance=False, useImageSpacing=True)
        fixed_mask = sitk.Cast(distance <= reach, sitk.sitkUInt8)
    else:
        fixed_mask = _reduced_mask(fixed.mask, spacing)
    return AlignmentLevel(
        fixed_image, sitk.ZeroFluxNeumannPad(moving_image, pad, pad), fixed_mask, moving_mask
    )


def center_of_mass(mask: sitk.Image) -> np.ndarray:
    """Returns the centre of a mask, LPS mm, [3]."""
    return np.asarray(_shape(mask).GetCentroid(1))


def _shape(mask: sitk.Image) -> sitk.LabelShapeStatisticsImageFilter:
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    return statistics


def _factors(image: sitk.Image, spacing: float) -> list[int]:
    return [
        max(1, min(round(spacing / own), size // _FEWEST_VOXELS))
        for own, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]


def _reduced(image: sitk.Image, spacing: float) -> sitk.Image:
    return sitk.BinShrink(image, _factors(image, spacing))


def _reduced_mask(mask: sitk.Image, spacing: float) -> sitk.Image:
    """Reduces a mask as its image; any part of a voxel counts, so that it never becomes empty."""
    return sitk.Cast(_reduced(sitk.Cast(mask, sitk.sitkFloat32), spacing) > 0, sitk.sitkUInt8)
