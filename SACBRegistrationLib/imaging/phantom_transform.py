"""A smooth transform that is known exactly, both ways."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.arrays import array_to_image
from SACBRegistrationLib.imaging.grid import Grid

_TOLERANCE = 1e-7  # mm
_MOST_STEPS = 100


@dataclass(frozen=True)
class KnownTransform:
    """An affine map after a sum of Gaussian bumps.

    The way back is in closed form: z = affine^-1(y), x = z + sum_k a_k exp(-|z - c_k|^2 / (2 s_k^2)). The way
    forth solves it for z by fixed-point iteration, which converges because the bumps are gentle.

    Attributes:
        matrix: [3, 3] of the affine map.
        offset: [3] of the affine map, mm: affine(z) = matrix z + offset.
        centers: [n, 3] centres c_k of the bumps in fixed space, LPS mm.
        heights: [n, 3] heights a_k of the bumps, LPS mm.
        widths: [n] standard deviations s_k of the bumps, mm.
    """

    matrix: np.ndarray
    offset: np.ndarray
    centers: np.ndarray
    heights: np.ndarray
    widths: np.ndarray

    @classmethod
    def random(cls, generator: np.random.Generator, center: np.ndarray, most: float) -> "KnownTransform":
        """Draws a turn of 10 degrees, a shift of 15 mm, a few percent of scale, and seven bumps.

        Args:
            generator: Source of randomness.
            center: [3] point to turn about, fixed LPS mm.
            most: Greatest height of a bump, mm.
        """
        turn = rotation(generator.normal(size=3), 10.0)
        matrix = turn @ np.diag(generator.uniform(0.96, 1.05, 3))
        shift = generator.normal(size=3)
        shift *= 15.0 / np.linalg.norm(shift)
        directions = generator.normal(size=(7, 3))
        heights = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        heights *= generator.uniform(0.6 * most, most, (7, 1))
        # Centres near the surface of the brain, one per direction, so that the bumps do not pile up.
        around = np.array(
            [[1, 0, 0.3], [-1, 0, 0.3], [0, 1, 0.2], [0, -1, 0.1], [0, 0.2, 1], [0.5, 0.6, -0.6], [0, 0, 0]]
        )
        centers = center + around * [50.0, 62.0, 48.0] + generator.normal(scale=8.0, size=(7, 3))
        return cls(
            matrix, center + shift - matrix @ center, centers, heights, generator.uniform(22.0, 32.0, 7)
        )

    def to_fixed(self, points: np.ndarray) -> np.ndarray:
        """Takes moving points [..., 3] to fixed points, LPS mm, in the precision of the points."""
        kind = points.dtype if np.issubdtype(points.dtype, np.floating) else np.float64
        inverse = np.linalg.inv(self.matrix)
        straight = points @ inverse.T.astype(kind) - (inverse @ self.offset).astype(kind)
        return straight + self._bumps(straight)

    def to_moving(self, points: np.ndarray) -> np.ndarray:
        """Takes fixed points [..., 3] to moving points, LPS mm, to within 1e-7 mm.

        Raises:
            ArithmeticError: When the bumps fold space, so that there is no single answer.
        """
        target = np.asarray(points, dtype=np.float64)
        bent = target
        for _ in range(_MOST_STEPS):
            better = target - self._bumps(bent)
            change = np.abs(better - bent).max(initial=0.0)
            bent = better
            if change < _TOLERANCE:
                return bent @ self.matrix.T + self.offset
        raise ArithmeticError("the bumps are too steep for the transform to be inverted")

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """Returns u(x) = T(x) - x for fixed points [..., 3], LPS mm."""
        return self.to_moving(points) - np.asarray(points, dtype=np.float64)

    def field(self, grid: Grid) -> sitk.Image:
        """Returns the displacement at every voxel of a grid as a vector image of LPS mm, 64-bit float."""
        indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), axis=-1)
        displacement = self.displacement(grid.to_lps(indices))
        return array_to_image(np.moveaxis(displacement, -1, 0), grid)

    def _bumps(self, points: np.ndarray) -> np.ndarray:
        total = np.zeros_like(points)
        for center, height, width in zip(self.centers, self.heights, self.widths, strict=True):
            offset = points - center.astype(points.dtype)
            squared = np.einsum("...i,...i->...", offset, offset)
            total += np.exp(squared * points.dtype.type(-0.5 / width**2))[..., None] * height.astype(
                points.dtype
            )
        return total


def rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Returns the [3, 3] matrix that turns by an angle about an axis."""
    versor = sitk.VersorTransform(np.asarray(axis, dtype=float).tolist(), float(np.deg2rad(degrees)))
    return np.array(versor.GetMatrix()).reshape(3, 3)
