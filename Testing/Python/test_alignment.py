"""Displaced, turned and regridded copies are brought back; the search can be steered, stopped, repeated."""

import threading

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import (
    blobs,
    displaced_copy,
    mean_error,
    oblique_grid,
    points_of,
    random_rigid,
    rigid,
)
from shared_data import require_shared

from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.imaging.alignment import align
from SACBRegistrationLib.imaging.alignment_levels import center_of_mass
from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.overlap import check_overlap, overlap
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.progress import Progress

FIXED_GRID = oblique_grid(size=(54, 48, 40), spacing=(2.0, 2.5, 3.1))


def anatomy(grid: Grid, to_template: sitk.Transform) -> sitk.Image:
    """An asymmetric object: point x of the grid shows what the template has at to_template(x)."""
    points = points_of(grid).reshape(-1, 3)
    local = np.array([to_template.TransformPoint(tuple(p)) for p in points]).reshape(*grid.size, 3)
    values = np.zeros(grid.size, np.float32)
    for center, radii, value in (
        ((0, 0, 0), (37, 52, 43), 60),
        ((0, 0, 2), (32, 46, 38), 90),
        ((-15, 12, 8), (13, 16, 12), 140),
        ((14, -18, -10), (12, 10, 15), 30),
        ((8, 22, 18), (10, 8, 9), 120),
        ((-10, -24, 16), (7, 12, 8), 20),
        ((20, 6, 20), (6, 9, 6), 160),
    ):
        values[(((local - center) / radii) ** 2).sum(axis=-1) < 1] = value
    return sitk.SmoothingRecursiveGaussian(array_to_image(values, grid), [1.0] * 3)


def template_frame(grid: Grid) -> sitk.TranslationTransform:
    return sitk.TranslationTransform(3, tuple(-grid.center))


@pytest.fixture(scope="module", name="fixed")
def fixed_image() -> sitk.Image:
    return anatomy(FIXED_GRID, template_frame(FIXED_GRID))


def moved(truth: sitk.Transform) -> sitk.Image:
    """The anatomy as it appears after `truth` (fixed to moving points), on a grid of its own."""
    center = np.add(truth.TransformPoint(tuple(FIXED_GRID.center)), (6, -9, 4))
    grid = oblique_grid(
        size=(50, 62, 44),
        spacing=(2.6, 1.9, 2.8),
        center=tuple(center),
        degrees=(-14, 31, 9),
        left_handed=True,
    )
    return anatomy(grid, sitk.CompositeTransform([template_frame(FIXED_GRID), truth.GetInverse()]))


def brain(fixed: sitk.Image) -> sitk.Image:
    return foreground_mask(fixed)


TURNED = rigid(FIXED_GRID.center, (14, -12, 16), (45, -30, 50))


def test_rigid_recovers_a_displaced_copy(fixed):
    result = align(fixed, moved(TURNED), "rigid")
    assert mean_error(result.transform, TURNED, brain(fixed), 4) < 0.7
    matrix = np.asarray(result.transform.GetMatrix()).reshape(3, 3)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert result.kind == "rigid" and result.overlap > 0.9 and result.seconds > 0


def test_affine_recovers_scale_and_shear(fixed):
    truth = sitk.AffineTransform(3)
    truth.SetCenter(tuple(FIXED_GRID.center))
    truth.SetMatrix(
        (
            np.asarray(TURNED.GetMatrix()).reshape(3, 3) @ [[1.06, 0.05, 0], [0, 0.95, 0], [0, 0.04, 1.04]]
        ).ravel()
    )
    truth.SetTranslation((40.0, -25.0, 35.0))
    moving = moved(truth)
    affine = align(fixed, moving, "affine")
    assert mean_error(affine.transform, truth, brain(fixed), 4) < 1.0
    assert mean_error(align(fixed, moving, "rigid").transform, truth, brain(fixed), 4) > 1.5


def test_inverted_contrast(fixed):
    moving = moved(TURNED)
    inverted = sitk.Cast(moving > 10, sitk.sitkFloat32) * (250 - moving)
    result = align(fixed, inverted, "affine")
    assert mean_error(result.transform, TURNED, brain(fixed), 4) < 2.0


def test_none_is_the_identity_or_the_initial_transform(fixed):
    result = align(fixed, fixed, "none")
    point = (3.0, -40.0, 55.0)
    assert result.transform.TransformPoint(point) == point
    assert result.mutual_information is None and result.overlap > 0.99
    given = align(fixed, moved(TURNED), "none", initial=TURNED)
    np.testing.assert_allclose(given.transform.TransformPoint(point), TURNED.TransformPoint(point), atol=1e-9)


def test_initial_transform_leads_where_the_search_alone_does_not(fixed):
    truth = rigid(FIXED_GRID.center, (170, 10, -15), (30, -20, 40))
    rough = rigid(FIXED_GRID.center, (160, 14, -8), (36, -14, 31))
    result = align(fixed, moved(truth), "affine", initial=rough)
    assert mean_error(rough, truth, brain(fixed), 4) > 8
    assert mean_error(result.transform, truth, brain(fixed), 4) < 1.0
    assert isinstance(result.transform, sitk.AffineTransform)


def test_nonlinear_initial_transform_is_kept(fixed):
    waves = 2 * np.sin(points_of(FIXED_GRID) / 20)
    field = array_to_image(
        np.moveaxis(waves + np.array((40.0, -25.0, 30.0)), -1, 0).astype(np.float64), FIXED_GRID
    )
    initial = sitk.DisplacementFieldTransform(field)
    moving = moved(sitk.TranslationTransform(3, (44.0, -21.0, 27.0)))
    result = align(fixed, moving, "rigid", initial=initial)
    assert result.overlap > 0.85
    assert not result.transform.IsLinear()
    before = result.transform.GetNthTransform(1).Downcast()
    matrix = np.asarray(before.GetMatrix()).reshape(3, 3)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    point = tuple(FIXED_GRID.center + np.array((9.0, -7.0, 12.0)))
    np.testing.assert_allclose(
        result.transform.TransformPoint(point),
        initial.TransformPoint(before.TransformPoint(point)),
        atol=1e-9,
    )


@pytest.mark.parametrize("masked", ["fixed", "moving"])
def test_masks_decide_what_to_follow(fixed, masked):
    """Two halves moved in opposite directions: the alignment follows the half inside the mask."""
    upper = points_of(FIXED_GRID)[..., 2] > FIXED_GRID.center[2]
    ways = [rigid(FIXED_GRID.center, (0, 0, 0), (shift, 0, 0)) for shift in (10, -10)]
    shown = [
        sitk.GetArrayFromImage(
            anatomy(FIXED_GRID, sitk.CompositeTransform([template_frame(FIXED_GRID), way.GetInverse()]))
        ).transpose(2, 1, 0)
        for way in ways
    ]
    moving = array_to_image(np.where(upper, *shown), FIXED_GRID)
    for half, truth in ((upper, ways[0]), (~upper, ways[1])):
        mask = array_to_image(half.astype(np.uint8), FIXED_GRID)
        result = align(fixed, moving, "rigid", **{f"{masked}_mask": mask})
        assert mean_error(result.transform, truth, sitk.And(brain(fixed), mask), 4) < 3.0


def test_same_input_same_result(fixed):
    first, second = (align(fixed, moved(TURNED), "affine").transform.GetParameters() for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)


def test_nothing_in_common_is_refused(fixed):
    far = blobs(oblique_grid(center=(900, 0, 0)))
    with pytest.raises(UserError, match="do not overlap after alignment") as caught:
        align(fixed, far, "none")
    assert "\n" not in str(caught.value)
    shift = sitk.TranslationTransform(3, (5000.0, 0.0, 0.0))
    with pytest.raises(UserError, match="do not overlap"):
        align(fixed, moved(TURNED), "rigid", initial=shift)


def test_overlap_is_the_shared_part_of_the_smaller(fixed):
    foreground = brain(fixed)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    assert overlap(foreground, foreground, identity) > 0.98
    part = sitk.And(
        foreground, sitk.Cast(anatomy(FIXED_GRID, template_frame(FIXED_GRID)) > 110, sitk.sitkUInt8)
    )
    assert overlap(foreground, part, identity) > 0.8
    assert check_overlap(part, foreground, identity) > 0.8
    with pytest.raises(UserError, match="do not overlap"):
        check_overlap(foreground, foreground, sitk.TranslationTransform(3, (0.0, 95.0, 0.0)))


def test_cancelling_stops_within_a_step(fixed):
    cancel, seen = threading.Event(), []

    def watch(fraction: float, stage: str) -> None:
        seen.append((fraction, stage))
        if fraction > 0.4:
            cancel.set()

    with pytest.raises(CancelledError):
        align(fixed, moved(TURNED), "affine", progress=Progress(watch, cancel, stage="align"))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] <= 0.5
    assert sum(fraction > 0.4 for fraction in fractions) == 1
    assert {stage for _, stage in seen} == {"align"}


def test_errors_of_the_callback_are_not_lost(fixed):
    def broken(fraction: float, stage: str) -> None:
        if fraction > 0.4:
            raise KeyError("progress bar")

    with pytest.raises(KeyError, match="progress bar"):
        align(fixed, moved(TURNED), "affine", progress=Progress(broken))


def test_unknown_kind(fixed):
    with pytest.raises(ValueError, match="kind"):
        align(fixed, fixed, "elastic")


@pytest.mark.parametrize(
    ("scan", "kind", "seed"), [("1000", "header", 1), ("1006", "oblique", 2), ("1008", "noisy", 3)]
)
def test_real_brain_comes_back_from_80_mm_and_25_degrees(scan, kind, seed):
    fixed = read_volume(require_shared(f"data/brain-oasis/{scan}_t1.nii.gz"), "fixed")
    rng = np.random.default_rng(seed)
    mask = foreground_mask(fixed)
    truth = random_rigid(rng, center_of_mass(mask), 25, 80)
    result = align(fixed, displaced_copy(fixed, truth, rng, kind), "affine")
    assert mean_error(result.transform, truth, mask) < 2
