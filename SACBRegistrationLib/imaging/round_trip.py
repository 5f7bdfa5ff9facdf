"""How exactly a registration's transform can be undone at single points."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.displacement import sample_field
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import AffinePart
from SACBRegistrationLib.imaging.tensors import to_array, to_tensor

_STEPS = 40
_REACH = 0.5  # mm, for slopes
_SOLVED = 1e-3  # mm


def round_trip_errors(displacement_field: sitk.Image, linear: AffinePart, points: np.ndarray) -> np.ndarray:
    """Returns |x' - x|, mm, where x' is what leads to the same place as x, looked for without knowing x.

    Damped Newton steps from the linear part's inverse of T(x). Where T folds, another x' may lead there, or
    the steps get stuck: both show as a large error.

    Args:
        displacement_field: Vector image u (LPS mm), T(x) = x + u(x).
        linear: The alignment's affine part, which is invertible.
        points: [n, 3] LPS mm, within the field's lattice.

    Returns:
        [n] float64.
    """
    field = to_tensor(sitk.GetArrayFromImage(displacement_field).astype(np.float32, copy=False))
    grid = Grid.from_image(displacement_field)

    def mapped(places: np.ndarray) -> np.ndarray:
        return places + to_array(sample_field(field, to_tensor(grid.to_index(places))))

    goals, backward = mapped(points), linear.inverse()
    places = goals @ backward.matrix.T + backward.offset
    misses = goals - mapped(places)
    damping = np.ones(len(points))
    for _ in range(_STEPS):
        pending = np.flatnonzero(np.linalg.norm(misses, axis=1) > _SOLVED)
        if not len(pending):
            break
        here, missed = places[pending], misses[pending]
        slopes = np.stack(
            [(mapped(here + h) - mapped(here - h)) / (2 * _REACH) for h in _REACH * np.eye(3)], axis=-1
        )
        # In a fold the slopes are singular; the damped normal equations still lead downhill.
        transposed = slopes.transpose(0, 2, 1)
        step = np.linalg.solve(transposed @ slopes + 1e-4 * np.eye(3), transposed @ missed[..., None])[..., 0]
        trial = here + damping[pending, None] * step
        remaining = goals[pending] - mapped(trial)
        better = np.linalg.norm(remaining, axis=1) < np.linalg.norm(missed, axis=1)
        places[pending[better]], misses[pending[better]] = trial[better], remaining[better]
        damping[pending] = np.where(better, np.minimum(2 * damping[pending], 1), damping[pending] / 2)
    return np.linalg.norm(places - points, axis=1)
