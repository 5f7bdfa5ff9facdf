"""One optimisation of a linear transform, and the starts that a search begins from."""

from itertools import product

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment_levels import AlignmentLevel, AlignmentSide, center_of_mass, radius
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.progress import Progress

# Poses between the starts are within the reach of the coarsest level.
_START_ANGLE = 20.0
_HISTOGRAM_BINS = 32
_CORRELATION_RADIUS = 2
# Powell's first trial step and the length below which it stops, mm at the anatomy's surface.
_STEP, _PRECISION = 0.5, 0.01
# Steepest descent takes its first step this long, mm; the start is near.
_DESCENT_STEP = 1.0


def maximize_information(
    level: AlignmentLevel,
    transform: sitk.Transform,
    *,
    initial: sitk.Transform | None,
    iterations: int,
    progress: Progress,
) -> tuple[sitk.Transform, float]:
    """Improves a linear transform by Powell's method on Mattes mutual information.

    Every voxel of the fixed mask is a sample, so that nothing is drawn by chance. Powell's method looks along
    one parameter after the other; on these few parameters it ends higher than steepest descent, which stops
    as soon as a steep parameter makes it turn back while a flat one is still far off.

    Args:
        level: The pair.
        transform: Start, an Euler3DTransform or AffineTransform; not changed.
        initial: Applied after the transform (T(x) = initial(transform(x))), or None.
        iterations: Most rounds through all parameters.
        progress: Reported to after every round.

    Returns:
        The improved transform and its mutual information.

    Raises:
        CancelledError: When the progress says so.
        RuntimeError: When the images do not overlap.
    """
    method = _method(level, initial)
    method.SetOptimizerAsPowell(
        numberOfIterations=iterations,
        maximumLineIterations=20,
        stepLength=_STEP,
        stepTolerance=_PRECISION,
        valueTolerance=1e-5,
    )
    # A turn or stretch counts by how far it moves the anatomy's surface.
    turns = len(transform.GetParameters()) - 3
    method.SetOptimizerScales([radius(level.fixed_mask)] * turns + [1.0] * 3)
    result, metric = _executed(method, level, transform, iterations, progress)
    return result, -metric


def maximize_correlation(
    level: AlignmentLevel,
    transform: sitk.Transform,
    *,
    initial: sitk.Transform | None,
    iterations: int,
    progress: Progress,
) -> sitk.Transform:
    """Improves a linear transform by steepest descent on local correlation; see `maximize_information`.

    Local correlation sees the borders of tissues, where mutual information sees the amounts of them.
    """
    method = _method(level, initial)
    method.SetMetricAsANTSNeighborhoodCorrelation(_CORRELATION_RADIUS)
    # The first step's length is set in mm: without it one step may turn the image by a radian.
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=1e-3,
        numberOfIterations=iterations,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-7,
        estimateLearningRate=method.Once,
        maximumStepSizeInPhysicalUnits=_DESCENT_STEP,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return _executed(method, level, transform, iterations, progress)[0]


def mutual_information(
    level: AlignmentLevel, transform: sitk.Transform, initial: sitk.Transform | None = None
) -> float:
    """Returns Mattes mutual information (higher is better); 0 where the images do not overlap."""
    method = _method(level, initial)
    method.SetInitialTransform(_copy(transform), True)
    try:
        return -method.MetricEvaluate(level.fixed, level.moving)
    except RuntimeError as error:
        # ITK's way of saying that no sample falls into the moving image.
        if "map outside" not in str(error) and "VirtualSampledPointSet" not in str(error):
            raise
        return 0.0


def starting_transforms(fixed: AlignmentSide, moving: AlignmentSide) -> list[sitk.Euler3DTransform]:
    """Returns rigid starts: centres of mass and of geometry matched, each in 27 poses and three half turns.

    A patient may have lain on the front, or been pushed in feet first, without the header knowing.
    """
    fixed_center = center_of_mass(fixed.foreground)
    offsets = (
        center_of_mass(moving.foreground) - fixed_center,
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
    start.SetCenter(tuple(center_of_mass(fixed.foreground)))
    return start


def as_affine(transform: sitk.Euler3DTransform) -> sitk.AffineTransform:
    """Returns the affine transform that starts where a rigid one ended."""
    affine = sitk.AffineTransform(3)
    affine.SetCenter(transform.GetCenter())
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    return affine


def _method(level: AlignmentLevel, initial: sitk.Transform | None) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(level.fixed_mask)
    if level.moving_mask is not None:
        method.SetMetricMovingMask(level.moving_mask)
    method.SetInterpolator(sitk.sitkLinear)
    if initial is not None:
        method.SetMovingInitialTransform(initial)
    return method


def _executed(
    method: sitk.ImageRegistrationMethod,
    level: AlignmentLevel,
    transform: sitk.Transform,
    iterations: int,
    progress: Progress,
) -> tuple[sitk.Transform, float]:
    """Runs an optimiser on a copy of the transform; returns it and ITK's metric (lower is better)."""
    result = _copy(transform)
    method.SetInitialTransform(result, True)
    raised: list[BaseException] = []

    def report() -> None:
        try:
            progress.report(method.GetOptimizerIteration() / iterations)
        except BaseException as error:  # carried around ITK, which loses it, and raised again below
            raised.append(error)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, report)
    try:
        method.Execute(level.fixed, level.moving)
    except RuntimeError:
        if not raised:
            raise
    if raised:
        raise raised[0]
    return result, method.GetMetricValue()


def _copy(transform: sitk.Transform) -> sitk.Transform:
    return type(transform)(transform)
