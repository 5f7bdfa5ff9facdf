"""Linear parts of transforms and the relation of grids with parallel axes."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid


@dataclass(frozen=True)
class AffinePart:
    """The affine map x -> matrix x + offset that is, or comes nearest to, a transform.

    Attributes:
        matrix: [3, 3] float64.
        offset: [3] mm, float64.
        exact: Whether the transform is this map; otherwise it is the least-squares fit.
    """

    matrix: np.ndarray
    offset: np.ndarray
    exact: bool

    def inverse(self) -> "AffinePart":
        """Returns the inverse map.

        Raises:
            numpy.linalg.LinAlgError: When the matrix is singular.
        """
        matrix = np.linalg.inv(self.matrix)
        return AffinePart(matrix, -matrix @ self.offset, self.exact)

    def displacement(self, grid: Grid, start: int, stop: int) -> np.ndarray:
        """Returns matrix x + offset - x, mm, on the planes start <= z < stop of a grid, [z, y, x, 3] float32.

        Sums one ramp per index axis in float64, since points far from the world's origin would lose digits.
        """
        slope = (self.matrix - np.eye(3)) @ grid.matrix
        base = (self.matrix - np.eye(3)) @ np.asarray(grid.origin) + self.offset
        x, y, z = (np.arange(n)[:, None] * slope[:, axis] for axis, n in enumerate(grid.size))
        plane = y[:, None] + x[None] + base
        result = np.empty((stop - start, *plane.shape), np.float32)
        for k in range(start, stop):
            result[k - start] = plane + z[k]
        return result


def affine_part(transform: sitk.Transform, grid: Grid) -> AffinePart:
    """Returns the affine map that a transform is, or its least-squares fit over the volume of a grid.

    Args:
        transform: Any 3D transform.
        grid: The volume over which a transform that is not linear is fitted.
    """
    if transform.IsLinear():
        center, reach = grid.center, 100.0
        columns = [
            (
                np.asarray(transform.TransformPoint(center + reach * unit))
                - transform.TransformPoint(center - reach * unit)
            )
            / (2 * reach)
            for unit in np.eye(3)
        ]
        matrix = np.stack(columns, axis=1)
        return AffinePart(matrix, np.asarray(transform.TransformPoint(center)) - matrix @ center, True)
    steps = [np.linspace(-0.5, n - 0.5, 9) for n in grid.size]
    points = grid.to_lps(np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3))
    moved = np.asarray([transform.TransformPoint(point) for point in points])
    center = points.mean(axis=0)
    solution, *_ = np.linalg.lstsq(np.c_[points - center, np.ones(len(points))], moved, rcond=None)
    matrix = solution[:3].T
    return AffinePart(matrix, solution[3] - matrix @ center, False)


def parallel_axes(grid: Grid, other: Grid) -> tuple[int, int, int]:
    """Returns for each index axis of `grid` the parallel index axis of `other`, whichever way it runs.

    Raises:
        ValueError: When the axes are not parallel.
    """
    cosines = np.abs(grid.axes.T @ other.axes)
    order = tuple(int(axis) for axis in cosines.argmax(axis=1))
    if sorted(order) != [0, 1, 2] or cosines.max(axis=1).min() < 1 - 1e-5:
        raise ValueError("the axes of the two grids are not parallel")
    return order
