"""What a run's self-check goes by: figures measured on the result itself, none of them from a truth."""

from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment import AlignmentResult
from SACBRegistrationLib.imaging.displacement import map_points
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import AffinePart, affine_part
from SACBRegistrationLib.imaging.round_trip import round_trip_errors
from SACBRegistrationLib.registration.agreement import Agreement
from SACBRegistrationLib.registration.pair import PreparedImage

# Enough for a 99th percentile that does not jump, few enough to take no time.
_POINTS = 4000
# Fewer say little about an affine map's twelve numbers.
_LEAST_POINTS = 100
_SEED = 0


@dataclass(frozen=True)
class RunFacts:
    """Measured facts about a result; lengths in mm.

    Attributes:
        similarity_before: Local NCC of the pair as given, where the moving volume holds the fixed anatomy.
        similarity_aligned: Likewise, after the alignment.
        similarity_after: Likewise, after everything.
        seen: Part of the fixed anatomy whose counterpart lies inside the moving volume.
        foreground_dice: Dice of the fixed and the warped moving anatomy within both volumes.
        folding_percent: Part of the fixed anatomy at which the transform folds.
        volume_p01: 1st percentile of the deformation's volume change (Jacobian determinant, the alignment's
            own taken out) over the fixed anatomy.
        volume_p99: 99th percentile of the same.
        deformation_p99_mm: 99th percentile of the distance by which the deformation moves the fixed anatomy
            beyond the alignment.
        bending_mean_mm: Mean distance by which it moves the fixed anatomy beyond the affine map that comes
            nearest to the whole transform: what a bad alignment left to the deformation does not count.
        bending_p99_mm: 99th percentile of the same.
        leftover_mm: Mean distance between the alignment and the affine map that comes nearest to the whole
            transform, both where the moving volume holds the fixed anatomy: what the alignment left over.
        anatomy_mm: Longest side of the box around the fixed anatomy.
        stretch_least: Smallest factor by which the alignment changes a length.
        stretch_most: Largest.
        mirrored: Whether the alignment swaps left and right handed.
        mirrored_gain: What the alignment would gain from mirroring the moving image; see `AlignmentResult`.
        inverse_residual_mm: 99th percentile of the distance by which the way back from the moving image
            misses the fixed point that it came from.
    """

    similarity_before: float
    similarity_aligned: float
    similarity_after: float
    seen: float
    foreground_dice: float
    folding_percent: float
    volume_p01: float
    volume_p99: float
    deformation_p99_mm: float
    bending_mean_mm: float
    bending_p99_mm: float
    leftover_mm: float
    anatomy_mm: float
    stretch_least: float
    stretch_most: float
    mirrored: bool
    mirrored_gain: float | None
    inverse_residual_mm: float

    def as_dict(self) -> dict[str, float | bool | None]:
        """Returns the facts by name."""
        return asdict(self)


def measure_facts(
    fixed: PreparedImage,
    moving: PreparedImage,
    agreement: Agreement,
    aligned: AlignmentResult,
    field: sitk.Image,
    jacobian: sitk.Image,
    anatomy: sitk.Image,
) -> RunFacts:
    """Measures a result.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        agreement: How well the pair agrees.
        aligned: The alignment.
        field: Displacement field of the whole transform, LPS mm.
        jacobian: Its Jacobian determinant, on the same grid.
        anatomy: Where the fixed anatomy is, not 0, on the same grid; not empty.
    """
    linear = affine_part(aligned.transform, fixed.grid)
    stretches = np.linalg.svd(linear.matrix, compute_uv=False)
    determinant = float(np.linalg.det(linear.matrix))
    changes = sitk.GetArrayViewFromImage(jacobian)[sitk.GetArrayViewFromImage(anatomy) != 0]
    low, high = np.percentile(changes, (1, 99)) / abs(determinant)
    points = _points_of(anatomy)
    moved = map_points(field, points)
    bending = _beyond(_nearest_affine(points, moved), points, moved)
    first, last = bounding_box(fixed.foreground)
    return RunFacts(
        similarity_before=agreement.within["before"],
        similarity_aligned=agreement.within["aligned"],
        similarity_after=agreement.within["after"],
        seen=agreement.view.seen,
        foreground_dice=agreement.view.dice,
        folding_percent=100 * float((changes * np.sign(determinant) <= 0).mean()),
        volume_p01=float(low),
        volume_p99=float(high),
        deformation_p99_mm=_percentile(_beyond(linear, points, moved)),
        bending_mean_mm=float(bending.mean()),
        bending_p99_mm=_percentile(bending),
        leftover_mm=_leftover(linear, points, moved, moving.grid),
        anatomy_mm=float(((last - first + 1) * np.asarray(fixed.grid.spacing)).max()),
        stretch_least=float(stretches.min()),
        stretch_most=float(stretches.max()),
        mirrored=determinant < 0,
        mirrored_gain=aligned.mirrored_gain,
        inverse_residual_mm=_percentile(round_trip_errors(field, linear, points)),
    )


def _points_of(anatomy: sitk.Image) -> np.ndarray:
    places = np.flatnonzero(sitk.GetArrayFromImage(anatomy).T)
    if len(places) > _POINTS:
        places = np.random.default_rng(_SEED).choice(places, _POINTS, replace=False)
    return Grid.from_image(anatomy).to_lps(np.stack(np.unravel_index(places, anatomy.GetSize()), axis=-1))


def _beyond(linear: AffinePart, points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Returns |L^-1(T(x)) - x|: what is left of the displacement without an affine map, [n] mm."""
    backward = linear.inverse()
    return np.linalg.norm(moved @ backward.matrix.T + backward.offset - points, axis=1)


def _leftover(linear: AffinePart, points: np.ndarray, moved: np.ndarray, moving: Grid) -> float:
    index = moving.to_index(moved)
    # Beyond the moving volume nothing but smoothness says where a point goes.
    held = ((index > -0.5) & (index < np.asarray(moving.size) - 0.5)).all(axis=1)
    points, moved = points[held], moved[held]
    if len(points) < _LEAST_POINTS:
        return 0.0
    nearest = _nearest_affine(points, moved)
    return float(_beyond(linear, points, points @ nearest.matrix.T + nearest.offset).mean())


def _nearest_affine(points: np.ndarray, moved: np.ndarray) -> AffinePart:
    center = points.mean(axis=0)
    solution, *_ = np.linalg.lstsq(np.c_[points - center, np.ones(len(points))], moved, rcond=None)
    matrix = solution[:3].T
    return AffinePart(matrix, solution[3] - matrix @ center, False)


def _percentile(lengths: np.ndarray) -> float:
    return float(np.percentile(lengths, 99))
