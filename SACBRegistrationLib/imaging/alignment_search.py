"""One climb of a linear transform, and the starts that a search begins from."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment_levels import AlignmentSide
from SACBRegistrationLib.imaging.alignment_measures import Measure
from SACBRegistrationLib.imaging.ascent import climb
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.progress import Progress

# Poses between the starts are within the reach of the coarsest level.
_START_ANGLE = 20.0
# First and longest step, and the length below which a climb stops, mm at the anatomy's surface.
_FIRST_STEP, _LONGEST_STEP, _PRECISION = 1.0, 10.0, 0.01
# For derivatives of a matrix by its parameters, radians or mm.
_TINY = 1e-4


class ImagesApartError(RuntimeError):
    """The images do not overlap where an alignment starts."""


def maximize(
    measure: Measure,
    transform: sitk.Transform,
    *,
    iterations: int,
    progress: Progress,
) -> tuple[sitk.Transform, float]:
    """Improves a linear transform by climbing a measure.

    Args:
        measure: What to maximise.
        transform: Start, an Euler3DTransform or AffineTransform; not changed.
        iterations: Most steps.
        progress: Reported to before every step.

    Returns:
        The improved transform and its measure.

    Raises:
        CancelledError: When the progress says so.
        ImagesApartError: When the images do not overlap at the start.
    """
    result = type(transform)(transform)
    start = np.asarray(transform.GetParameters())
    # A turn or stretch counts by how far it moves the anatomy's surface.
    scale = np.array([measure.radius] * (len(start) - 3) + [1.0] * 3)

    def at(place: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = place / scale
        slope = measure.slope(*_linear(result, parameters, measure.center))
        by_parameter = [
            (slope.by_matrix * matrix).sum() + slope.by_target @ target
            for matrix, target in _derivatives(result, parameters, measure.center)
        ]
        return slope.value, np.asarray(by_parameter) / scale

    end, value = climb(
        at,
        start * scale,
        iterations=iterations,
        first_step=_FIRST_STEP,
        longest_step=_LONGEST_STEP,
        precision=_PRECISION,
        each=lambda iteration: progress.report(iteration / iterations),
    )
    if not np.isfinite(value):
        raise ImagesApartError("no sample of the fixed image falls into the moving image")
    result.SetParameters((end / scale).tolist())
    return result, value


def measured(measure: Measure, transform: sitk.Transform) -> float:
    """Returns a measure under a linear transform; 0 where the images do not overlap."""
    parameters = np.asarray(transform.GetParameters())
    value = measure.value(*_linear(type(transform)(transform), parameters, measure.center))
    return value if np.isfinite(value) else 0.0


def starting_transforms(fixed: AlignmentSide, moving: AlignmentSide) -> list[sitk.Euler3DTransform]:
    """Returns rigid starts: centres of mass and of geometry matched, each in 27 poses and three half turns.

    A patient may have lain on the front, or been pushed in feet first, without the header knowing.
    """
    fixed_center = fixed.center
    offsets = (
        moving.center - fixed_center,
        Grid.from_image(moving.image).center - Grid.from_image(fixed.image).center,
    )
    angles = np.radians((0.0, -_START_ANGLE, _START_ANGLE))
    poses = [*product(angles, repeat=3), *(np.pi * np.eye(3)).tolist()]
    starts = []
    for offset, turn in product(offsets, poses):
        start = sitk.Euler3DTransform()
        start.SetCenter(tuple(fixed_center))
        start.SetRotation(*turn)
        start.SetTranslation(tuple(offset))
        starts.append(start)
    return starts


def identity_around(fixed: AlignmentSide) -> sitk.Euler3DTransform:
    """Returns the rigid transform that changes nothing and turns about the fixed anatomy's centre."""
    start = sitk.Euler3DTransform()
    start.SetCenter(tuple(fixed.center))
    return start


def as_affine(transform: sitk.Euler3DTransform) -> sitk.AffineTransform:
    """Returns the affine transform that starts where a rigid one ended."""
    affine = sitk.AffineTransform(3)
    affine.SetCenter(transform.GetCenter())
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    return affine


def _linear(
    transform: sitk.Transform, parameters: np.ndarray, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sets the transform to some parameters; returns its matrix and where it takes the center."""
    transform.SetParameters(parameters.tolist())
    return np.asarray(transform.GetMatrix()).reshape(3, 3), np.asarray(transform.TransformPoint(center))


def _derivatives(
    transform: sitk.Transform, parameters: np.ndarray, center: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields for every parameter the derivatives of the matrix and of where the center goes."""
    for change in _TINY * np.eye(len(parameters)):
        ends = (_linear(transform, parameters + sign * change, center) for sign in (1, -1))
        (matrix, target), (other_matrix, other_target) = ends
        yield (matrix - other_matrix) / (2 * _TINY), (target - other_target) / (2 * _TINY)
