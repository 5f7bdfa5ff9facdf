"""Rigid and affine alignment before the network, by mutual information and local correlation."""

import logging
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.alignment_levels import (
    AlignmentLevel,
    AlignmentSide,
    alignment_level,
    alignment_side,
)
from SACBRegistrationLib.imaging.alignment_measures import LocalCorrelation, MutualInformation
from SACBRegistrationLib.imaging.alignment_search import (
    ImagesApartError,
    as_affine,
    identity_around,
    maximize,
    measured,
    starting_transforms,
)
from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import affine_part
from SACBRegistrationLib.imaging.overlap import check_overlap, overlap
from SACBRegistrationLib.progress import Progress

logger = logging.getLogger(__name__)

AlignmentKind = Literal["none", "rigid", "affine"]

# For a head; a larger body is compared as much coarser as it is wider, so that the time stays the same.
_COARSE, _FINE = 8.0, 4.0
_HEAD_RADIUS = 85.0
_REACH = 10.0
# The local correlation looks at tissue borders, not at the outline.
_CORRELATION_REACH = 4.0
# How many of the best starts are followed, and how many of their ends become affine.
_FOLLOWED = 6
_FOLLOWED_AFFINE = 3
# A climb ends long before, unless the images lead it astray.
_MOST_STEPS = 40
# Ends that differ by less are one.
_SAME_INFORMATION = 1e-3
# An end that throws most of the anatomy out of the moving image may score by the little that is left.
_LEAST_OVERLAP = 0.4
# Local correlation may give up so much of the mutual information; more says that it does not suit the pair.
_TOLERATED_LOSS = 0.1


@dataclass(frozen=True)
class AlignmentResult:
    """A linear alignment.

    Attributes:
        transform: Takes fixed points to moving points (LPS mm). An affine transform; the given initial
            transform when nothing was to be aligned; a composite after a nonlinear initial transform.
        kind: What was done.
        mutual_information: Mattes mutual information at the finest level, higher is better; None for "none".
        overlap: What the two anatomies share, as a part of the smaller one.
        seconds: Time taken.
        mirrored_gain: Mutual information that is gained at the coarse level by mirroring the moving image
            along its left-right axis and aligning it from here, as a part of what there is; None for "none".
            Clearly above 0 it says that left and right are swapped in one of the images.
    """

    transform: sitk.Transform
    kind: AlignmentKind
    mutual_information: float | None
    overlap: float
    seconds: float
    mirrored_gain: float | None = None


def align(
    fixed: sitk.Image,
    moving: sitk.Image,
    kind: AlignmentKind = "affine",
    *,
    fixed_foreground: sitk.Image | None = None,
    moving_foreground: sitk.Image | None = None,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
    initial: sitk.Transform | None = None,
    progress: Progress | None = None,
) -> AlignmentResult:
    """Finds the linear transform that maps the fixed image onto the moving image.

    At 8 mm, both centres of mass and both centres of geometry are matched in 30 poses each; the best are
    followed, rigid first, then affine. The winner is refined at 4 mm with Mattes mutual information, and last
    with local correlation where that keeps the mutual information. Nothing is random.

    Args:
        fixed: Validated fixed image.
        moving: Validated moving image, on any grid.
        kind: "none", "rigid" or "affine".
        fixed_foreground: uint8 mask of the fixed anatomy on its grid; None finds it.
        moving_foreground: uint8 mask of the moving anatomy on its grid; None finds it.
        fixed_mask: uint8 mask on the fixed grid: compare only here.
        moving_mask: uint8 mask on the moving grid: compare only here.
        initial: Transform to start from, fixed to moving points; the result is initial(A(x)), with A found
            here.
        progress: Reported to; its cancel event stops the search within about a second.

    Returns:
        The alignment.

    Raises:
        UserError: When the images do not overlap, before or after.
        CancelledError: When the progress says so.
    """
    begin = time.perf_counter()
    progress = progress or Progress()
    if kind not in ("none", "rigid", "affine"):
        raise ValueError(f"kind must be 'none', 'rigid' or 'affine', not {kind!r}")
    progress.report(0.0)
    fixed_foreground = foreground_mask(fixed) if fixed_foreground is None else fixed_foreground
    moving_foreground = foreground_mask(moving) if moving_foreground is None else moving_foreground
    information = gain = None
    if kind == "none":
        transform = initial if initial is not None else sitk.AffineTransform(3)
    else:
        sides = (
            alignment_side(fixed, fixed_foreground, fixed_mask),
            alignment_side(moving, moving_foreground, moving_mask),
        )
        try:
            coarse = alignment_level(*sides, _scale(sides[0]) * _COARSE, _REACH)
            before = progress.part(0.0, 0.95, progress.stage)
            found, information = _searched(*sides, coarse, kind, initial, before)
            gain = _mirrored_gain(*sides, coarse, found, initial, progress.part(0.95, 1.0, progress.stage))
        except ImagesApartError as error:
            logger.debug("%s", error)
            raise UserError(
                "The fixed and the moving image could not be aligned because they do not overlap; check that "
                "both show the same anatomy, or give an initial transform."
            ) from error
        transform = _combined(found, initial, Grid.from_image(fixed))
    shared = check_overlap(fixed_foreground, moving_foreground, transform)
    progress.report(1.0)
    return AlignmentResult(transform, kind, information, shared, time.perf_counter() - begin, gain)


def _searched(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    coarse: AlignmentLevel,
    kind: AlignmentKind,
    initial: sitk.Transform | None,
    progress: Progress,
) -> tuple[sitk.Transform, float]:
    """Returns the transform before `initial` and its mutual information at the fine level."""
    part = progress.part(0.05, 0.4, progress.stage)
    found = _coarse_search(fixed, moving, MutualInformation(coarse, initial), kind, initial, part)
    spacing = _scale(fixed) * _FINE
    mutual = MutualInformation(alignment_level(fixed, moving, spacing, _REACH), initial)
    part = progress.part(0.4, 0.7, progress.stage)
    found, information = maximize(mutual, found, iterations=_MOST_STEPS, progress=part)
    local = LocalCorrelation(alignment_level(fixed, moving, spacing, _CORRELATION_REACH), initial)
    part = progress.part(0.7, 1.0, progress.stage)
    polished, _ = maximize(local, found, iterations=_MOST_STEPS, progress=part)
    after = measured(mutual, polished)
    logger.debug("mutual information %.4f, after local correlation %.4f", information, after)
    if after >= (1 - _TOLERATED_LOSS) * information:
        return polished, after
    return found, information


def _coarse_search(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    mutual: MutualInformation,
    kind: AlignmentKind,
    initial: sitk.Transform | None,
    progress: Progress,
) -> sitk.Transform:
    """Returns the best transform of this kind at the coarse level."""
    starts = [identity_around(fixed)] if initial is not None else starting_transforms(fixed, moving)
    scored = []
    for number, start in enumerate(starts):
        progress.report(0.3 * number / len(starts))
        scored.append((-measured(mutual, start), number))
    candidates = [starts[number] for _, number in sorted(scored)[:_FOLLOWED]]
    candidates = _improved(
        fixed, moving, mutual, candidates, initial, progress.part(0.3, 0.6, progress.stage)
    )
    if kind == "affine":
        affine = [as_affine(rigid) for rigid in candidates[:_FOLLOWED_AFFINE]]
        candidates = _improved(
            fixed, moving, mutual, affine, initial, progress.part(0.6, 1.0, progress.stage)
        )
    return candidates[0]


def _improved(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    mutual: MutualInformation,
    candidates: list[sitk.Transform],
    initial: sitk.Transform | None,
    progress: Progress,
) -> list[sitk.Transform]:
    """Returns where the candidates end, best first, each end once."""
    ends = []
    for number, candidate in enumerate(candidates):
        part = progress.part(number / len(candidates), (number + 1) / len(candidates), progress.stage)
        end, information = maximize(mutual, candidate, iterations=_MOST_STEPS, progress=part)
        if any(abs(information - other) <= _SAME_INFORMATION for _, other, _, _ in ends):
            continue
        whole = end if initial is None else sitk.CompositeTransform([initial, end])
        lost = overlap(fixed.foreground, moving.foreground, whole) < _LEAST_OVERLAP
        ends.append((lost, information, number, end))
    return [end for *_, end in sorted(ends, key=lambda entry: (entry[0], -entry[1], entry[2]))]


def _mirrored_gain(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    level: AlignmentLevel,
    found: sitk.Transform,
    initial: sitk.Transform | None,
    progress: Progress,
) -> float:
    """Returns what mirroring the moving image gains; see `AlignmentResult`."""
    whole = found if initial is None else sitk.CompositeTransform([initial, found])
    start = affine_part(sitk.CompositeTransform([_mirror(moving), whole]), Grid.from_image(fixed.image))
    mirrored = sitk.AffineTransform(3)
    mirrored.SetCenter(tuple(fixed.center))
    mirrored.SetMatrix(tuple(start.matrix.ravel()))
    moved = start.matrix @ mirrored.GetCenter() + start.offset
    mirrored.SetTranslation(tuple(moved - mirrored.GetCenter()))
    usual = measured(MutualInformation(level, initial), found)
    try:
        _, ended = maximize(MutualInformation(level), mirrored, iterations=_MOST_STEPS, progress=progress)
    except ImagesApartError as error:
        # Mirrored, the images do not meet: nothing is gained.
        logger.debug("%s", error)
        return -1.0
    return (ended - usual) / usual if usual > 0 else 0.0


def _mirror(moving: AlignmentSide) -> sitk.AffineTransform:
    """Returns the reflection of the moving image along its left-right axis, through its anatomy's centre."""
    grid = Grid.from_image(moving.image)
    normal = grid.axes[:, next(axis for axis, code in enumerate(grid.axis_codes) if code in "LR")]
    mirror = sitk.AffineTransform(3)
    mirror.SetCenter(tuple(moving.center))
    mirror.SetMatrix(tuple((np.eye(3) - 2 * np.outer(normal, normal)).ravel()))
    return mirror


def _scale(fixed: AlignmentSide) -> float:
    return max(1.0, fixed.radius / _HEAD_RADIUS)


def _combined(found: sitk.Transform, initial: sitk.Transform | None, grid: Grid) -> sitk.Transform:
    """Returns initial(found(x)), as one affine transform where both are linear."""
    if initial is not None and not initial.IsLinear():
        return sitk.CompositeTransform([initial, found])
    whole = found if initial is None else sitk.CompositeTransform([initial, found])
    part = affine_part(whole, grid)
    center = grid.center
    transform = sitk.AffineTransform(3)
    transform.SetCenter(tuple(center))
    transform.SetMatrix(tuple(part.matrix.ravel()))
    transform.SetTranslation(tuple(np.asarray(part.matrix @ center + part.offset - center)))
    return transform
