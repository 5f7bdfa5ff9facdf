"""Structures of known shape, and surface distances computed by brute force."""

import numpy as np
import SimpleITK as sitk
from oblique import points_of

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image


def mask_where(grid: Grid, inside) -> sitk.Image:
    """A uint8 mask of the voxels whose LPS points [x, y, z, 3] `inside` says yes to."""
    return array_to_image(inside(points_of(grid)).astype(np.uint8), grid)


def ball(grid: Grid, center, radius: float) -> sitk.Image:
    return mask_where(grid, lambda points: np.linalg.norm(points - center, axis=-1) <= radius)


def box(grid: Grid, first, last) -> sitk.Image:
    """A mask of the voxels from index `first` to `last`, both inclusive."""
    values = np.zeros(grid.size, np.uint8)
    values[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = 1
    return array_to_image(values, grid)


def surface_points(mask: sitk.Image) -> np.ndarray:
    """[n, 3] LPS centres of the voxels that have a face to the outside or to the volume's border."""
    values = np.pad(sitk.GetArrayFromImage(mask) != 0, 1)
    covered = values.copy()
    for axis in range(3):
        for step in (-1, 1):
            covered &= np.roll(values, step, axis)
    indices = np.argwhere((values & ~covered)[1:-1, 1:-1, 1:-1])[:, ::-1]
    return np.array([mask.TransformIndexToPhysicalPoint(index) for index in indices.tolist()])


def brute_force(first: sitk.Image, second: sitk.Image) -> tuple[float, float, float]:
    """Hausdorff distance, HD95 and ASSD, mm, over all pairs of surface points."""
    a, b = surface_points(first), surface_points(second)
    there = np.array([np.linalg.norm(b - point, axis=1).min() for point in a])
    back = np.array([np.linalg.norm(a - point, axis=1).min() for point in b])
    both = np.concatenate((there, back))
    return both.max(), max(np.percentile(there, 95), np.percentile(back, 95)), both.mean()
