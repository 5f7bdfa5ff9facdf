"""Jacobian determinants of displacement fields in physical space."""

from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid

_SLAB_VOXELS = 2**19


@dataclass(frozen=True)
class JacobianSummary:
    """What the Jacobian determinant of a transform does over a volume.

    Attributes:
        folding_percent: Percentage of voxels whose determinant is not positive.
        minimum: Smallest determinant.
        p01: 1st percentile.
        mean: Mean determinant.
        p99: 99th percentile.
        maximum: Largest determinant.
    """

    folding_percent: float
    minimum: float
    p01: float
    mean: float
    p99: float
    maximum: float

    def as_dict(self) -> dict[str, float]:
        """Returns the numbers by name."""
        return asdict(self)


def jacobian_determinant(displacement_field: sitk.Image) -> sitk.Image:
    """Returns det(dT/dx) = det(I + du/dx) of T(x) = x + u(x), as a volume ratio without unit.

    Derivatives are central differences between neighbouring nodes (one-sided at the border) taken along the
    index axes and turned into LPS by the inverse of the grid's matrix: du/dx = du/dindex matrix^-1, so that
    det(I + du/dx) = det(matrix + du/dindex) / det(matrix).
    SimpleITK's DisplacementFieldJacobianDeterminant leaves the turn out and is right for unrotated grids
    alone.

    Args:
        displacement_field: Vector image u, LPS mm, at least two voxels long on every axis.

    Returns:
        Float32 image on the field's grid.
    """
    grid = Grid.from_image(displacement_field)
    field = sitk.GetArrayViewFromImage(displacement_field)
    matrix = grid.matrix.astype(np.float32)
    result = np.empty(field.shape[:3], np.float32)
    depth = max(1, _SLAB_VOXELS // (grid.size[0] * grid.size[1]))
    for start in range(0, grid.size[2], depth):
        stop = min(start + depth, grid.size[2])
        low, high = max(start - 1, 0), min(stop + 1, grid.size[2])
        # Components first: the arithmetic below then runs over contiguous memory.
        slab = np.ascontiguousarray(np.moveaxis(field[low:high], -1, 0), dtype=np.float32)
        keep = slice(start - low, stop - low)
        z, y, x = (np.gradient(slab, axis=axis)[:, keep] for axis in (1, 2, 3))
        for column, derivative in enumerate((x, y, z)):
            derivative += matrix[:, column, None, None, None]
        result[start:stop] = _determinant((x, y, z))
    result /= np.linalg.det(grid.matrix)
    image = sitk.GetImageFromArray(result)
    image.CopyInformation(displacement_field)
    return image


def inside_volume(grid: Grid, fixed_grid: Grid, mask: sitk.Image | None = None) -> sitk.Image:
    """Returns which voxels of a grid lie inside the fixed volume (voxel edges included) and a mask.

    Args:
        grid: Grid of the answer, such as the displacement field's.
        fixed_grid: The fixed image's grid.
        mask: Image in fixed space on any grid; not 0 is inside. None is the whole fixed volume.

    Returns:
        UInt8 image on `grid`, 1 inside, 0 outside.
    """
    volume = sitk.Image(fixed_grid.size, sitk.sitkUInt8) + 1
    volume.SetOrigin(fixed_grid.origin)
    volume.SetSpacing(fixed_grid.spacing)
    volume.SetDirection(fixed_grid.direction)
    inside = grid.resample(volume, interpolator=sitk.sitkNearestNeighbor)
    if mask is None:
        return inside
    return inside * grid.resample(sitk.Cast(mask != 0, sitk.sitkUInt8), interpolator=sitk.sitkNearestNeighbor)


def summarize_jacobian(jacobian: sitk.Image, inside: sitk.Image) -> JacobianSummary:
    """Returns folding and range of a Jacobian determinant over the voxels of `inside` that are not 0.

    Args:
        jacobian: Image from `jacobian_determinant`.
        inside: Image on the same grid, from `inside_volume`.

    Raises:
        ValueError: When the two are not on the same grid, or no voxel is inside.
    """
    if jacobian.GetSize() != inside.GetSize():
        raise ValueError("the Jacobian and the region must be on the same grid")
    values = sitk.GetArrayViewFromImage(jacobian)[sitk.GetArrayViewFromImage(inside) != 0]
    if not values.size:
        raise ValueError("no voxel of the Jacobian lies inside the region")
    p01, p99 = np.percentile(values, (1, 99))
    return JacobianSummary(
        folding_percent=float(100 * np.mean(values <= 0)),
        minimum=float(values.min()),
        p01=float(p01),
        mean=float(values.mean(dtype=np.float64)),
        p99=float(p99),
        maximum=float(values.max()),
    )


def folding_percent(
    displacement_field: sitk.Image, fixed_grid: Grid, mask: sitk.Image | None = None
) -> float:
    """Returns the percentage of the fixed volume (inside the mask) where T folds: det(dT/dx) <= 0."""
    jacobian = jacobian_determinant(displacement_field)
    return summarize_jacobian(
        jacobian, inside_volume(Grid.from_image(jacobian), fixed_grid, mask)
    ).folding_percent


def _determinant(columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Returns the determinants of 3x3 matrices given by their columns, each [3, ...]."""
    a, b, c = columns
    return (
        a[0] * (b[1] * c[2] - c[1] * b[2])
        - b[0] * (a[1] * c[2] - c[1] * a[2])
        + c[0] * (a[1] * b[2] - b[1] * a[2])
    )
