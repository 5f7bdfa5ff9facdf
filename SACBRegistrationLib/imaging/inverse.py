"""The inverse of a registration's transform, over the moving volume."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import (
    as_transform,
    displacement_grid,
    sample_field,
    smooth_fall,
)
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import AffinePart, affine_part
from SACBRegistrationLib.imaging.spline import LatticeSpline
from SACBRegistrationLib.imaging.tensors import to_array, to_tensor

_TOLERANCE = 1e-3  # mm
_PLAIN_STEPS = 12
_NEWTON_STEPS = 25
_SLAB_VOXELS = 2**20


@dataclass(frozen=True)
class InverseResult:
    """The inverse transform and how exact it is.

    Attributes:
        displacement_field: Vector image v (LPS mm, float32) over the whole moving volume, on the moving
            image's axes: T^-1(y) = y + v(y).
        residual_mean_mm: Mean of |T(T^-1(y)) - y| over sampled points whose T^-1(y) is in the fixed volume.
            NaN when the volumes do not overlap.
        residual_p99_mm: 99th percentile of the same.
    """

    displacement_field: sitk.Image
    residual_mean_mm: float
    residual_p99_mm: float


def invert_displacement(
    displacement_field: sitk.Image,
    alignment: sitk.Transform,
    moving_grid: Grid,
    fixed_grid: Grid,
    spacing: float | None = None,
    seed: int = 0,
) -> InverseResult:
    """Returns the inverse of T(x) = x + u(x) over the whole moving volume.

    With the affine map L of the alignment (its least-squares fit when it is not linear) T(x) = L(x + d(x)),
    where d(x) = L^-1(x + u(x)) - x. Each point y of the moving volume solves x + d(x) = L^-1(y), by
    fixed-point steps x <- L^-1(y) - d(x), on a four times coarser lattice first, whose spline starts the fine
    one; points at which d changes too fast for these to converge go on with damped Newton steps on the local
    Jacobian. Beyond the field's lattice d falls smoothly to zero, so that points far outside the fixed volume
    follow the inverse of L alone.

    Args:
        displacement_field: u, vector image, LPS mm, over the whole fixed volume.
        alignment: A, takes fixed points to moving points.
        moving_grid: Grid of the moving image.
        fixed_grid: Grid of the fixed image.
        spacing: Wanted distance of the inverse field's nodes, mm; None takes the smallest of u's. See
            `displacement_grid`.
        seed: Seed of the points at which the residual is measured.

    Raises:
        UserError: When the alignment flattens space and has no inverse.
    """
    forward = affine_part(alignment, fixed_grid)
    if abs(np.linalg.det(forward.matrix)) < 1e-6:
        raise UserError("The alignment flattens space and has no inverse; give another initial transform.")
    backward = forward.inverse()
    field = Grid.from_image(displacement_field)
    if spacing is None:
        grid = displacement_grid(moving_grid, min(field.spacing))
    else:
        grid = displacement_grid(moving_grid, spacing, largest=0)

    # Everything below is in voxels of u's lattice: d as [z, y, x, 3], and L^-1(y) as a linear ramp.
    to_index = np.linalg.inv(field.matrix)
    deformation = sitk.GetArrayViewFromImage(displacement_field) @ backward.matrix.T.astype(np.float32)
    deformation += backward.displacement(field, 0, field.size[2])
    solver = _Solver(to_tensor(deformation @ to_index.T.astype(np.float32)), field)
    del deformation
    # A coarse lattice first: its spline is so good a start that the fine one takes two or three steps.
    coarse = _every_fourth_node(grid)
    offsets = torch.cat(
        [solver.solve(_goals(backward, field, coarse, k, k + 1), None) for k in range(coarse.size[2])]
    )
    spline = LatticeSpline(offsets.view(*coarse.size[::-1], 3), [np.arange(n) / 4 for n in grid.size])
    result = np.empty((*grid.size[::-1], 3), np.float32)
    depth = max(1, _SLAB_VOXELS // (grid.size[0] * grid.size[1]))
    to_lps = to_tensor(field.matrix.T.astype(np.float32))
    for k in range(0, grid.size[2], depth):
        stop = min(k + depth, grid.size[2])
        start = spline.planes(k, stop).reshape(-1, 3)
        offset = solver.solve(_goals(backward, field, grid, k, stop), start) @ to_lps
        result[k:stop] = to_array(offset).reshape(stop - k, *result.shape[1:])
        result[k:stop] += backward.displacement(grid, k, stop)
    inverse = sitk.GetImageFromArray(result, isVector=True)
    inverse.SetOrigin(grid.origin)
    inverse.SetSpacing(grid.spacing)
    inverse.SetDirection(grid.direction)
    residual = inverse_residual(displacement_field, inverse, moving_grid, fixed_grid, seed)
    mean, p99 = (
        (float(residual.mean()), float(np.percentile(residual, 99))) if len(residual) else (np.nan,) * 2
    )
    return InverseResult(inverse, mean, p99)


def inverse_residual(
    displacement_field: sitk.Image,
    inverse_field: sitk.Image,
    moving_grid: Grid,
    fixed_grid: Grid,
    seed: int = 0,
    points: int = 20000,
) -> np.ndarray:
    """Returns |T(T^-1(y)) - y|, mm, at random points y of the moving volume, evaluated by SimpleITK.

    The points are the images of points drawn evenly from the fixed volume, as far as they lie in the moving
    volume; those whose T^-1(y) leaves the fixed volume are left out.

    Args:
        displacement_field: Vector image of T, LPS mm.
        inverse_field: Vector image of T^-1, LPS mm.
        moving_grid: Grid of the moving image.
        fixed_grid: Grid of the fixed image.
        seed: Seed of the points.
        points: How many to draw.

    Returns:
        [n] float64; empty when the volumes do not overlap.
    """
    forward, backward = as_transform(displacement_field), as_transform(inverse_field)
    drawn = np.random.default_rng(seed).uniform(-0.5, np.asarray(fixed_grid.size) - 0.5, (points, 3))
    images = np.asarray([forward.TransformPoint(point) for point in fixed_grid.to_lps(drawn)])
    images = images[_inside(images, moving_grid)]
    if not len(images):
        return np.empty(0)
    origins = np.asarray([backward.TransformPoint(point) for point in images])
    keep = _inside(origins, fixed_grid)
    back = np.asarray([forward.TransformPoint(point) for point in origins[keep]]).reshape(-1, 3)
    return np.linalg.norm(back - images[keep], axis=1)


def _inside(points: np.ndarray, grid: Grid) -> np.ndarray:
    index = grid.to_index(points)
    return ((index >= -0.5) & (index <= np.asarray(grid.size) - 0.5)).all(axis=1)


def _every_fourth_node(grid: Grid) -> Grid:
    return Grid(
        tuple((n + 2) // 4 + 1 for n in grid.size),
        tuple(4 * s for s in grid.spacing),
        grid.origin,
        grid.direction,
    )


def _goals(backward: AffinePart, field: Grid, grid: Grid, start: int, stop: int) -> torch.Tensor:
    """Returns L^-1(y) for the nodes y on some planes of a grid, [n, 3] in voxels of the field's lattice."""
    slope = np.linalg.inv(field.matrix) @ backward.matrix @ grid.matrix
    base = field.to_index(backward.matrix @ np.asarray(grid.origin) + backward.offset)
    x, y, z = (np.arange(n)[:, None] * slope[:, axis] for axis, n in enumerate(grid.size))
    plane = (y[:, None] + x + base).astype(np.float32)
    goals = plane + z[start:stop, None, None].astype(np.float32)
    return to_tensor(goals.reshape(-1, 3))


class _Solver:
    """Solves e = -d(goal + e) for many points at once; all in voxels of the lattice of d."""

    def __init__(self, deformation: torch.Tensor, grid: Grid) -> None:
        """Takes d as [z, y, x, 3] in voxels of its grid."""
        self._deformation = deformation
        self._last = torch.tensor(grid.size, dtype=torch.float32) - 1
        self._spacing = torch.tensor(grid.spacing, dtype=torch.float32)
        largest = float(self._length(deformation).max())
        self._fall = max(20.0, 4 * largest)

    def solve(self, goal: torch.Tensor, start: torch.Tensor | None) -> torch.Tensor:
        """Returns [n, 3] offsets e for goals [n, 3], from starting offsets [n, 3] (None: zero)."""
        offset = torch.zeros_like(goal) if start is None else start
        step = self._residual(goal, offset)
        offset = offset + step
        active = (self._length(step) > _TOLERANCE).nonzero()[:, 0]
        for _ in range(_PLAIN_STEPS):
            if not len(active):
                return offset
            step = self._residual(goal[active], offset[active])
            offset[active] += step
            active = active[self._length(step) > _TOLERANCE]
        offset[active] = self._newton(goal[active], offset[active])
        return offset

    def _newton(self, goal: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        offset = offset.clone()
        residual = self._residual(goal, offset)
        damping = torch.ones(len(goal))
        for _ in range(_NEWTON_STEPS):
            pending = (self._length(residual) > _TOLERANCE).nonzero()[:, 0]
            if not len(pending):
                break
            trial = offset[pending] + damping[pending, None] * self._newton_step(
                goal[pending], offset[pending], residual[pending]
            )
            remaining = self._residual(goal[pending], trial)
            better = self._length(remaining) < self._length(residual[pending])
            accepted = pending[better]
            offset[accepted], residual[accepted] = trial[better], remaining[better]
            damping[pending] = torch.where(better, (2 * damping[pending]).clamp(max=1), damping[pending] / 2)
        return offset

    def _newton_step(self, goal: torch.Tensor, offset: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Returns J^-1 residual, with J the local Jacobian of x + d(x) by central differences."""
        reach = 0.25
        columns = [
            (self._residual(goal, offset - reach * unit) - self._residual(goal, offset + reach * unit))
            / (2 * reach)
            for unit in torch.eye(3)
        ]
        jacobian = torch.stack(columns, dim=-1)
        # In a fold J is singular; the damped normal equations still give a descent direction.
        transposed = jacobian.transpose(1, 2)
        normal = transposed @ jacobian + 1e-4 * torch.eye(3)
        return torch.linalg.solve(normal, (transposed @ residual[..., None]))[..., 0]

    def _residual(self, goal: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Returns -d(goal + offset) - offset, which is zero at the solution."""
        index = goal + offset
        nearest = torch.minimum(index.clamp(min=0), self._last)
        beyond = self._length(index - nearest) / self._fall
        return -sample_field(self._deformation, nearest) * smooth_fall(beyond)[:, None] - offset

    def _length(self, voxels: torch.Tensor) -> torch.Tensor:
        """Returns lengths in mm."""
        return (voxels.square() @ self._spacing.square()).sqrt()
