"""Rigid and affine alignment before the network (SimpleITK, Mattes mutual information)."""

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
    center_of_mass,
)
from SACBRegistrationLib.imaging.alignment_search import (
    as_affine,
    mutual_information,
    optimize,
    starting_transforms,
)
from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import affine_part
from SACBRegistrationLib.imaging.overlap import check_overlap, overlap
from SACBRegistrationLib.progress import Progress

logger = logging.getLogger(__name__)

AlignmentKind = Literal["none", "rigid", "affine"]

_COARSE, _FINE = 8.0, 4.0
_REACH = 10.0
# The local correlation looks at tissue borders, not at the outline.
_CORRELATION_REACH = 4.0
# How many of the best starts are followed.
_FOLLOWED = 4
# A start that throws most of the anatomy out of the moving image may score by the little that is left.
_LEAST_START_OVERLAP = 0.4
# Local correlation may give up so much of the mutual information; more says that it does not suit the pair.
_TOLERATED_LOSS = 0.1


@dataclass(frozen=True)
class AlignmentResult:
    """A linear alignment.

    Attributes:
        transform: Takes fixed points to moving points (LPS mm). An affine transform; the given initial
            transform when nothing was to be aligned; a composite after a nonlinear initial transform.
        kind: What was done.
        mutual_information: Mattes mutual information at 4 mm, higher is better; None for "none".
        overlap: What the two anatomies share, as a part of the smaller one.
        seconds: Time taken.
    """

    transform: sitk.Transform
    kind: AlignmentKind
    mutual_information: float | None
    overlap: float
    seconds: float


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

    At 8 mm, both centres of mass and both centres of geometry are tried in 27 poses each, and the best are
    followed with a rigid transform. The winner is refined at 4 mm, rigid first, then affine, with Mattes
    mutual information, and last with local correlation where that keeps the mutual information.
    Nothing is random.

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
        progress: Reported to; its cancel event stops the search within one step.

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
    information = None
    if kind == "none":
        transform = initial if initial is not None else sitk.AffineTransform(3)
    else:
        sides = (
            alignment_side(fixed, fixed_foreground, fixed_mask),
            alignment_side(moving, moving_foreground, moving_mask),
        )
        try:
            found, information = _searched(*sides, kind, initial, progress)
        except RuntimeError as error:
            logger.debug("%s", error)
            raise UserError(
                "The fixed and the moving image could not be aligned because they do not overlap; check that "
                "both show the same anatomy, or give an initial transform."
            ) from error
        transform = _combined(found, initial, Grid.from_image(fixed))
    shared = check_overlap(fixed_foreground, moving_foreground, transform)
    progress.report(1.0)
    return AlignmentResult(transform, kind, information, shared, time.perf_counter() - begin)


def _searched(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    kind: AlignmentKind,
    initial: sitk.Transform | None,
    progress: Progress,
) -> tuple[sitk.Transform, float]:
    """Returns the transform before `initial` and its mutual information at the fine level."""
    coarse = alignment_level(fixed, moving, _COARSE, _REACH)
    rigid = _best_start(fixed, moving, coarse, initial, progress.part(0.05, 0.35, progress.stage))
    fine = alignment_level(fixed, moving, _FINE, _REACH)
    best, _ = optimize(
        fine,
        rigid,
        initial=initial,
        step=4.0,
        iterations=40,
        progress=progress.part(0.35, 0.45, progress.stage),
    )
    if kind == "affine":
        best, _ = optimize(
            fine,
            as_affine(best),
            initial=initial,
            step=4.0,
            iterations=80,
            progress=progress.part(0.45, 0.6, progress.stage),
        )
    information = mutual_information(fine, best, initial)
    polished, _ = optimize(
        alignment_level(fixed, moving, _FINE, _CORRELATION_REACH),
        best,
        initial=initial,
        step=1.0,
        iterations=30,
        progress=progress.part(0.6, 1.0, progress.stage),
        correlation=True,
    )
    after = mutual_information(fine, polished, initial)
    logger.debug("mutual information %.4f, after local correlation %.4f", information, after)
    if after >= (1 - _TOLERATED_LOSS) * information:
        return polished, after
    return best, information


def _best_start(
    fixed: AlignmentSide,
    moving: AlignmentSide,
    level: AlignmentLevel,
    initial: sitk.Transform | None,
    progress: Progress,
) -> sitk.Euler3DTransform:
    """Returns the best rigid transform at the coarse level."""
    if initial is not None:
        start = sitk.Euler3DTransform()
        start.SetCenter(tuple(center_of_mass(fixed.foreground)))
        return start
    starts = starting_transforms(fixed, moving)
    scored = []
    for number, start in enumerate(starts):
        progress.report(0.3 * number / len(starts))
        scored.append((mutual_information(level, start), number))
    ranked = [starts[number] for _, number in sorted(scored, key=lambda entry: (-entry[0], entry[1]))]
    ends = []
    for number, start in enumerate(ranked[:_FOLLOWED]):
        part = progress.part(
            0.3 + 0.7 * number / _FOLLOWED, 0.3 + 0.7 * (number + 1) / _FOLLOWED, progress.stage
        )
        end, metric = optimize(level, start, initial=None, step=8.0, iterations=60, progress=part)
        enough = overlap(fixed.foreground, moving.foreground, end) >= _LEAST_START_OVERLAP
        ends.append((not enough, metric, number, end))
    return min(ends, key=lambda entry: entry[:3])[3]


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
