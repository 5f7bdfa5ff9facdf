"""Affine maps that bring heads of different people to one common pose."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.training.label_classes import BRAIN_CLASSES, CSF

_SPACING_MM = 3.0
_SMOOTHING_MM = 3.0
_STEPS = 100


def common_poses(
    heads: Sequence[np.ndarray], spacings: Sequence[tuple[float, float, float]]
) -> list[np.ndarray]:
    """Returns for every head the affine from common coordinates to its own.

    Every head is registered to the first one (affine, mean squares between smooth T1-like pictures of the
    labels). The common frame is the mean of these, so that no single head sets size, shape and pose.

    Args:
        heads: Compact classes, [D, H, W] each.
        spacings: Voxel sizes along D, H, W, mm.

    Returns:
        [3, 4] matrices that take mm from the middle of the common brain along D, H, W to mm from the centre
        of the head's first voxel.
    """
    pictures = [_picture(classes, spacing) for classes, spacing in zip(heads, spacings, strict=True)]
    centroids = [_centroids(classes, spacing) for classes, spacing in zip(heads, spacings, strict=True)]
    affines = [np.eye(4)] + [
        _register(pictures[0], picture, _centroid_affine(centroids[0], points))
        for picture, points in zip(pictures[1:], centroids[1:], strict=True)
    ]
    affines = [affine @ np.linalg.inv(np.mean(affines, axis=0)) for affine in affines]
    # The mean of these affines is the identity; only the origin is still the first head's.
    middles = [
        np.linalg.inv(affine) @ np.append(_middle(classes) * spacing, 1)
        for affine, classes, spacing in zip(affines, heads, spacings, strict=True)
    ]
    shift = np.eye(4)
    shift[:, 3] = np.mean(middles, axis=0)
    return [(affine @ shift)[:3] for affine in affines]


def _picture(classes: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    table = np.array([brain_class.t1 for brain_class in BRAIN_CLASSES], dtype=np.float32)
    table[: CSF + 1] = 0
    image = sitk.GetImageFromArray(table[classes].transpose(2, 1, 0))
    image.SetSpacing(spacing)
    image = sitk.SmoothingRecursiveGaussian(image, _SMOOTHING_MM)
    return sitk.Shrink(image, [max(1, round(_SPACING_MM / s)) for s in spacing])


def _register(fixed: sitk.Image, moving: sitk.Image, start: np.ndarray) -> np.ndarray:
    initial = sitk.AffineTransform(3)
    initial.SetMatrix(start[:3, :3].ravel())
    initial.SetTranslation(start[:3, 3])
    initial = _recentered(initial, fixed)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0,
        minStep=2e-2,
        numberOfIterations=_STEPS,
        relaxationFactor=0.7,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(initial, inPlace=True)
    method.Execute(fixed, moving)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(initial.GetMatrix(), (3, 3))
    affine[:3, 3] = initial.TransformPoint((0.0, 0.0, 0.0))
    return affine


def _recentered(affine: sitk.AffineTransform, image: sitk.Image) -> sitk.AffineTransform:
    """Returns the same map turning about the image's middle, where steps of rotation and shift are apart."""
    center = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    result = sitk.AffineTransform(3)
    result.SetCenter(center)
    result.SetMatrix(affine.GetMatrix())
    result.SetTranslation(np.subtract(affine.TransformPoint(center), center))
    return result


def _centroid_affine(
    fixed: tuple[np.ndarray, np.ndarray], moving: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Returns the [4, 4] least-squares affine that takes centroids to centroids."""
    weights = np.sqrt(np.minimum(fixed[1], moving[1]))[:, None]
    design = np.concatenate([fixed[0], np.ones((len(weights), 1))], axis=1) * weights
    affine = np.eye(4)
    affine[:3] = np.linalg.lstsq(design, moving[0] * weights, rcond=None)[0].T
    return affine


def _centroids(classes: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns [classes, 3] centroids of the brain's classes, mm from the first voxel, and their counts."""
    coarse = classes[::2, ::2, ::2]
    flat, number = coarse.ravel(), len(BRAIN_CLASSES)
    counts = np.bincount(flat, minlength=number).astype(float)
    counts[: CSF + 1] = 0
    places = np.meshgrid(
        *(np.arange(n) * 2.0 * s for n, s in zip(coarse.shape, spacing, strict=True)), indexing="ij"
    )
    sums = [np.bincount(flat, weights=place.ravel(), minlength=number) for place in places]
    return np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None], counts


def _middle(classes: np.ndarray) -> np.ndarray:
    """Returns the [3] index of the middle of the brain's bounding box."""
    brain = classes > CSF
    ends = [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    return np.mean(ends, axis=1)
