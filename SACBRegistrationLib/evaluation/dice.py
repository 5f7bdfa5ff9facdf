"""Overlap of label maps."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError


def common_labels(first: sitk.Image, second: sitk.Image) -> list[int]:
    """Returns the labels other than 0 that occur in both label maps, ascending; the grids may differ.

    Raises:
        UserError: When a label map holds values that are not integers.
    """
    values = [np.unique(_integers(image)) for image in (first, second)]
    return [int(label) for label in np.intersect1d(*values) if label != 0]


def dice_per_label(
    fixed_labels: sitk.Image, warped_labels: sitk.Image, labels: list[int] | None = None
) -> dict[int, float]:
    """Returns 2 |F and W| / (|F| + |W|) of every label.

    Args:
        fixed_labels: Label map of the fixed image.
        warped_labels: Moving label map on the fixed grid, warped with nearest neighbour.
        labels: Labels to compare; a label lost in warping scores 0. None takes those common to both maps:
            give `common_labels(fixed_labels, moving_labels)` instead, so that a lost label counts.

    Raises:
        UserError: When a label map holds values that are not integers.
        ValueError: When the two maps differ in size.
    """
    fixed, warped = _integers(fixed_labels).ravel(), _integers(warped_labels).ravel()
    if fixed_labels.GetSize() != warped_labels.GetSize():
        raise ValueError("label maps must lie on the same grid")
    if labels is None:
        labels = common_labels(fixed_labels, warped_labels)
    wanted = np.asarray(sorted(labels), dtype=np.int64)
    if not len(wanted):
        return {}
    fixed_at, warped_at = _positions(fixed, wanted), _positions(warped, wanted)
    counts = [np.bincount(at, minlength=len(wanted) + 1) for at in (fixed_at, warped_at)]
    both = np.bincount(fixed_at[fixed_at == warped_at], minlength=len(wanted) + 1)
    total = counts[0] + counts[1]
    return {
        int(label): float(2 * both[i] / total[i]) if total[i] else float("nan")
        for i, label in enumerate(wanted)
    }


def mean_dice(scores: dict[int, float]) -> float:
    """Returns the mean over labels, leaving out those that neither map holds; NaN without any."""
    values = [score for score in scores.values() if not np.isnan(score)]
    return float(np.mean(values)) if values else float("nan")


def _positions(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns each value's place in the ascending `wanted`, or len(wanted) where it is not among them."""
    at = np.searchsorted(wanted, values)
    at[wanted[np.minimum(at, len(wanted) - 1)] != values] = len(wanted)
    return at


def _integers(image: sitk.Image) -> np.ndarray:
    values = sitk.GetArrayViewFromImage(image)
    if np.issubdtype(values.dtype, np.integer):
        return values
    rounded = np.rint(values)
    if not np.array_equal(rounded, values):
        raise UserError("A label map must hold whole numbers; the one given has values between them.")
    return rounded.astype(np.int64)
