"""One optimisation of a linear transform, and the starts that a search begins from."""

from itertools import product

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment_levels import AlignmentLevel, AlignmentSide, center_of_mass
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.progress import Progress

# A turn of half this angle is within the capture range of the coarsest level.
_START_ANGLE = 25.0
_HISTOGRAM_BINS = 32
_CORRELATION_RADIUS = 2


def optimize(
    level: AlignmentLevel,
    transform: sitk.Transform,
    *,
    initial: sitk.Transform | None,
    step: float,
    iterations: int,
    progress: Progress,
    correlation: bool = False,
) -> tuple[sitk.Transform, float]:
    """Improves a linear transform by regular-step gradient descent.

    Every voxel of the fixed mask is a sample, so that nothing is drawn by chance.

    Args:
        level: The pair.
        transform: Start; not changed.
        initial: Applied after the transform (T(x) = initial(transform(x))), or None.
        step: Longest first step, mm.
        iterations: Most steps.
        progress: Reported to at every step.
        correlation: Whether the metric is local correlation instead of mutual information.

    Returns:
        The improved transform and its metric (lower is better).

    Raises:
        CancelledError: When the progress says so.
        RuntimeError: When the images do not overlap.
    """
    method = _method(level, initial)
    if correlation:
        method.SetMetricAsANTSNeighborhoodCorrelation(_CORRELATION_RADIUS)
    # The first step's length is set in mm: without it one step may turn the image by a radian.
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=1e-3,
        numberOfIterations=iterations,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-7,
        estimateLearningRate=method.Once,
        maximumStepSizeInPhysicalUnits=step,
    )
    method.SetOptimizerScalesFromPhysicalShift()
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
    """Returns rigid starts: centres of mass and centres of geometry matched, each turned to 27 poses."""
    fixed_center = center_of_mass(fixed.foreground)
    offsets = (
        center_of_mass(moving.foreground) - fixed_center,
        Grid.from_image(moving.image).center - Grid.from_image(fixed.image).center,
    )
    angles = np.radians((0.0, -_START_ANGLE, _START_ANGLE)) * 0.75
    starts = []
    for offset, turn in product(offsets, product(angles, repeat=3)):
        start = sitk.Euler3DTransform()
        start.SetCenter(tuple(fixed_center))
        start.SetRotation(*turn)
        start.SetTranslation(tuple(offset))
        starts.append(start)
    return starts


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


def _copy(transform: sitk.Transform) -> sitk.Transform:
    return type(transform)(transform)
