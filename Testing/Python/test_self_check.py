"""The self-check: its verdicts, the facts that it goes by, and where a run tells them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from Benchmarks.altered import Alteration, alter, transform_errors
from field_fixtures import make_case
from oblique import blobs, oblique_grid, points_of
from small_pairs import write_preset
from usual_facts import USUAL

from SACBRegistrationLib import UserError, register
from SACBRegistrationLib.cli.register_command import summary
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import AffinePart, affine_part
from SACBRegistrationLib.imaging.overlap import common_view
from SACBRegistrationLib.imaging.round_trip import round_trip_errors
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.registration.self_check import FAILED, GOOD, LOOK, limits_for, self_check


def test_a_usual_result_is_good_and_says_why():
    check = self_check(USUAL)
    assert check.verdict == GOOD
    (reason,) = check.reasons
    assert "0.10" in reason and "0.90" in reason


@pytest.mark.parametrize(
    ("changed", "verdict", "word"),
    [
        ({"similarity_after": 0.45}, LOOK, "agree little"),
        ({"similarity_after": 0.15}, FAILED, "agree little"),
        ({"similarity_before": 0.8, "similarity_after": 0.75}, LOOK, "more similar"),
        ({"similarity_aligned": 0.92}, LOOK, "less similar"),
        ({"bending_mean_mm": 6.0, "bending_p99_mm": 14.0}, LOOK, "14 mm"),
        ({"bending_mean_mm": 20.0, "bending_p99_mm": 60.0}, FAILED, "60 mm"),
        ({"leftover_mm": 7.0, "bending_mean_mm": 4.4, "bending_p99_mm": 13.0}, LOOK, "by 7 mm and bends"),
        ({"foreground_dice": 0.7}, LOOK, "Dice of 0.70"),
        ({"foreground_dice": 0.2}, FAILED, "Dice of 0.20"),
        ({"folding_percent": 1.5}, LOOK, "1.5 %"),
        ({"folding_percent": 12.0}, FAILED, "12.0 %"),
        ({"inverse_residual_mm": 3.0}, LOOK, "3 mm"),
        ({"inverse_residual_mm": 20.0}, FAILED, "20 mm"),
        ({"mirrored": True}, LOOK, "left and right"),
        ({"mirrored_gain": 0.3}, LOOK, "when mirrored"),
        ({"stretch_most": 1.5}, LOOK, "factor of 1.5"),
        ({"stretch_least": 0.4}, FAILED, "factor of 2.5"),
        ({"seen": 0.3}, LOOK, "30 %"),
    ],
)  # fmt: skip
def test_every_fact_can_speak_against_it(changed, verdict, word):
    check = self_check(replace(USUAL, **changed))
    assert check.verdict == verdict
    assert word in check.reasons[0]
    assert all(reason.endswith(".") and "\n" not in reason and len(reason) < 120 for reason in check.reasons)


def test_the_worst_reason_comes_first_and_none_is_lost():
    check = self_check(replace(USUAL, bending_mean_mm=6.0, folding_percent=12.0, seen=0.3))
    assert check.verdict == FAILED and len(check.reasons) == 3 and "folds" in check.reasons[0]


def test_a_large_deformation_is_believed_where_the_images_agree_very_well():
    assert self_check(replace(USUAL, bending_mean_mm=6.0, similarity_after=0.98)).verdict == GOOD


def test_what_the_alignment_left_over_is_believed_where_it_bends_little():
    assert self_check(replace(USUAL, leftover_mm=7.0)).verdict == GOOD
    assert self_check(replace(USUAL, leftover_mm=4.0, bending_mean_mm=4.4)).verdict == GOOD


def test_the_same_bending_is_more_in_a_body_than_in_a_brain():
    body = replace(USUAL, anatomy_mm=400.0, bending_mean_mm=6.4)
    assert self_check(body, limits_for("mr")).verdict == GOOD
    assert self_check(body, limits_for("ct")).verdict == LOOK
    assert self_check(replace(body, bending_mean_mm=4.8), limits_for("ct")).verdict == GOOD


def test_the_way_back_of_a_smooth_transform_is_exact():
    case = make_case()
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid, 2.0)
    linear = affine_part(case.alignment, case.fixed_grid)
    errors = round_trip_errors(field, linear, case.points(300))
    assert errors.shape == (300,) and errors.max() < 0.02


def test_the_way_back_of_a_fold_misses():
    grid = oblique_grid((40, 30, 20), (2.0, 2.5, 3.0))
    along = (points_of(grid) - grid.center) @ grid.axes[:, 0]
    # x -> x - 24 sin(x / 10) runs backwards around the middle.
    moved = -24 * np.sin(along / 10)[..., None] * grid.axes[:, 0]
    field = array_to_image(np.moveaxis(moved, -1, 0).astype(np.float32), grid)
    inner = grid.to_lps(np.random.default_rng(0).uniform((15, 5, 4), (24, 24, 15), (200, 3)))
    nothing = AffinePart(np.eye(3), np.zeros(3), True)
    assert np.percentile(round_trip_errors(field, nothing, inner), 90) > 5


def test_anatomies_are_compared_where_both_volumes_reach():
    grid = oblique_grid((40, 44, 36), (1.7, 1.5, 1.9))
    fixed = sitk.Cast(blobs(grid) > 0, sitk.sitkUInt8)
    same = sitk.Transform(3, sitk.sitkIdentity)
    whole = common_view(fixed, fixed, same)
    assert whole.seen == 1 and whole.dice == 1
    half = common_view(fixed, fixed[:, :22, :], same)
    assert 0.35 < half.seen < 0.65 and half.dice > 0.97
    # Against counting by hand, after a shift that leaves a part outside.
    shift = sitk.TranslationTransform(3, (grid.axes @ (6.8, 0.0, 0.0)).tolist())
    values = sitk.GetArrayFromImage(fixed)
    here, there = values[::2, ::3, ::2] != 0, np.roll(values, -4, axis=2)[::2, ::3, ::2] != 0
    reached = np.ones_like(here)
    reached[:, :, 18:] = False
    expected = 2 * (here & there & reached).sum() / ((here & reached).sum() + (there & reached).sum())
    found = common_view(fixed, fixed, shift)
    assert found.dice == pytest.approx(expected) and found.seen == pytest.approx(reached[here].mean())
    far = sitk.TranslationTransform(3, (500.0, 0.0, 0.0))
    assert common_view(fixed, fixed, far).dice == 0 and common_view(fixed, fixed, far).seen == 0


@pytest.fixture(scope="module")
def pair():
    """A head of wavy brightness on a coarse oblique grid, and its altered copy with the truth."""
    grid = oblique_grid((40, 46, 36), (3.4, 3.0, 3.7), (14.0, -33.0, 41.0))
    x, y, z = np.moveaxis(points_of(grid) - grid.center, -1, 0)
    waves = 60 + 25 * np.sin(x / 7) * np.cos(y / 9 + 0.5) + 13 * np.sin((x + y - z) / 8)
    inside = (x / 48) ** 2 + (y / 56) ** 2 + (z / 52) ** 2 < 1
    scan = array_to_image(np.where(inside, waves, 0).astype(np.float32), grid)
    anatomy = array_to_image(inside.astype(np.uint8), grid)
    how = Alteration(4.0, spacings=(3.1, 3.6, 4.0))
    return scan, alter(scan, anatomy, how, np.random.default_rng(3))


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    preset = write_preset(tmp_path_factory.mktemp("preset"))
    return {"preset": preset, "weights": "none", "device": "cpu", "refine": 20, "alignment": "none"}


@pytest.fixture(scope="module")
def result(pair, options):
    scan, copy = pair
    # The true affine map: what a good alignment would find, at no cost.
    return register(copy.image, scan, initial_transform=copy.truth.GetNthTransform(0), **options)


def mean_error(result, copy) -> float:
    return float(transform_errors(result.transform, copy.truth, copy.inside).mean())


def test_a_right_result_is_called_good(pair, result):
    check = result.report["self_check"]
    assert mean_error(result, pair[1]) < 2
    assert check["verdict"] == GOOD, check
    # The facts are those of the report, where it has them too: nothing of the anatomy is out of view.
    facts, similarity = check["facts"], result.report["local_ncc"]
    for when in ("aligned", "after"):
        assert facts[f"similarity_{when}"] == pytest.approx(similarity[when], abs=0.02)
    assert facts["folding_percent"] == pytest.approx(result.report["jacobian"]["anatomy"]["folding_percent"])
    assert facts["deformation_p99_mm"] < result.report["displacement_mm"]["p99_mm"]


def test_what_the_alignment_left_over_is_measured(pair, result, options):
    scan, copy = pair
    shift = sitk.TranslationTransform(3, (5.0, -4.0, 3.0))
    off = sitk.CompositeTransform([copy.truth.GetNthTransform(0), shift])
    shifted = register(copy.image, scan, initial_transform=off, **options)
    assert mean_error(shifted, copy) < 2
    left = shifted.report["self_check"]["facts"]["leftover_mm"]
    assert left == pytest.approx(np.linalg.norm(shift.GetParameters()), rel=0.2)
    assert result.report["self_check"]["facts"]["leftover_mm"] < 0.3 * left


def test_a_wrong_result_is_not(pair, options):
    # Half a turn about the long axis, which no refinement undoes.
    scan, copy = pair
    half = sitk.Euler3DTransform(tuple(Grid.from_image(copy.image).center), 0.0, 0.0, np.pi)
    turned = sitk.CompositeTransform([copy.truth.GetNthTransform(0), half])
    result = register(copy.image, scan, initial_transform=turned, **options)
    assert mean_error(result, copy) > 20
    check = result.report["self_check"]
    assert check["verdict"] != GOOD and check["reasons"], check


def test_the_report_and_the_command_line_tell_it(result, tmp_path):
    result.save(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["self_check"]
    assert set(written) == {"verdict", "reasons", "facts"}
    assert written["facts"] == pytest.approx(result.report["self_check"]["facts"])
    line = next(line for line in summary(result.report).splitlines() if line.startswith("Self-check"))
    assert line.split(maxsplit=1)[1].startswith("good: The similarity rose")


def test_an_initial_transform_that_flattens_space_is_refused(pair, options):
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(UserError, match=r"initial transform flattens space.*give another"):
        register(pair[1].image, pair[0], initial_transform=flat, **options)
