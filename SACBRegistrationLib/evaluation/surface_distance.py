"""Distances between the surfaces of two structures, in mm."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

_PERCENTILE = 95


@dataclass(frozen=True)
class SurfaceDistance:
    """How far two surfaces lie apart, mm; NaN where one of the two structures is empty.

    Attributes:
        hd95: Robust Hausdorff distance, see `surface_distance`.
        assd: Average symmetric surface distance, see `surface_distance`.
    """

    hd95: float
    assd: float


@dataclass(frozen=True)
class Surface:
    """A structure's surface, prepared for measuring from and to it.

    Attributes:
        inside: [z, y, x] bool, the surface's voxels.
        distance: [z, y, x] float32, every voxel's distance to the nearest surface voxel, mm.
    """

    inside: np.ndarray
    distance: np.ndarray


def surface_of(mask: sitk.Image) -> Surface | None:
    """Returns the surface of what is not 0 in an image, or None when everything is 0.

    Surface voxels are those of the structure that share a face with a voxel outside it; beyond the image's
    border everything is outside. Distances are Euclidean, exact, and between voxel centres.

    Args:
        mask: 3D scalar image.
    """
    # Beside a voxel of padding a structure at the border has its surface there as elsewhere.
    padded = sitk.ConstantPad(sitk.Cast(sitk.NotEqual(mask, 0), sitk.sitkUInt8), (1, 1, 1), (1, 1, 1), 0)
    contour = sitk.BinaryContour(padded, fullyConnected=False, backgroundValue=0, foregroundValue=1)
    inside = sitk.GetArrayFromImage(contour)[1:-1, 1:-1, 1:-1] != 0
    if not inside.any():
        return None
    distance = sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
    distance = np.abs(sitk.GetArrayViewFromImage(distance)[1:-1, 1:-1, 1:-1])
    # The filter's own zero is some rounding error.
    distance[inside] = 0
    return Surface(inside, distance)


def surface_distance(first: Surface | None, second: Surface | None) -> SurfaceDistance:
    """Returns HD95 and ASSD of two surfaces on one grid.

    With A and B the sets of surface voxels and d(a, B) the distance of a to the nearest voxel of B:
    HD95 = max(P95{d(a, B)}, P95{d(b, A)}), the larger of the two directed 95th percentiles (with linear
    interpolation between ranks), not the percentile of all distances together, in which a small surface
    drowns beside a large one. ASSD = (sum d(a, B) + sum d(b, A)) / (|A| + |B|), the mean of all together.
    Every surface voxel counts once, however large its part of the surface.

    Args:
        first: Surface from `surface_of`, or None for an empty structure.
        second: The other one, of an image on the same grid.

    Returns:
        The distances; both NaN when one of the structures is empty: no distance says how far away something
        is that is not there.

    Raises:
        ValueError: When the two do not lie on the same grid.
    """
    if first is None or second is None:
        return SurfaceDistance(float("nan"), float("nan"))
    if first.inside.shape != second.inside.shape:
        raise ValueError("both structures must lie on the same grid")
    there, back = second.distance[first.inside], first.distance[second.inside]
    return SurfaceDistance(
        hd95=float(max(np.percentile(there, _PERCENTILE), np.percentile(back, _PERCENTILE))),
        assd=float((there.sum(dtype=np.float64) + back.sum(dtype=np.float64)) / (len(there) + len(back))),
    )
