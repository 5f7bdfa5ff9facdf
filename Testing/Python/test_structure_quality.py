"""Dice and surface distances before and after, against SimpleITK on whole volumes."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, oblique_grid, rotation
from structure_fixtures import ball, brute_force, mask_where

from SACBRegistrationLib.evaluation.preimage import Preimage
from SACBRegistrationLib.evaluation.structure_quality import (
    StructureQuality,
    evaluate_structures,
    structure_quality,
)
from SACBRegistrationLib.imaging.displacement import as_transform, compose_displacement, map_points
from SACBRegistrationLib.imaging.grid import Grid

RADII = (13.0, 17.0, 10.0)


@pytest.fixture(scope="module")
def case():
    """A pair that overlaps before registration already."""
    fixed = make_case().fixed_grid
    alignment = sitk.AffineTransform(3)
    alignment.SetMatrix(np.ravel(rotation(-9, 6, 8) @ np.diag((1.08, 0.95, 1.03))))
    alignment.SetCenter(fixed.center)
    alignment.SetTranslation((6.0, -4.0, 5.0))
    return make_case(alignment=alignment)


@pytest.fixture(scope="module")
def field(case):
    return compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid, 3.0)


def ellipsoid(case, shift=(0, 0, 0)):
    center = case.moving_grid.center + np.asarray(shift)
    return lambda points: (((points - center) / RADII) ** 2).sum(axis=-1) <= 1


def moving_mask(case, shift=(0, 0, 0)):
    return mask_where(case.moving_grid, ellipsoid(case, shift))


def fixed_mask(case, grid=None, shift=(0, 0, 0)):
    """What the moving ellipsoid comes from: T(x) lies in it."""
    return mask_where(grid or case.fixed_grid, lambda points: ellipsoid(case, shift)(case.mapped(points)))


def resampled(moving, fixed, transform):
    return sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)


def by_simpleitk(fixed, moving, field):
    """(dice, hd95, assd) before and after, on the whole fixed volume."""
    found = []
    for transform in (sitk.Transform(), as_transform(field)):
        side = resampled(moving, fixed, transform)
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(fixed, side)
        found.append((overlap.GetDiceCoefficient(1), *brute_force(fixed, side)[1:]))
    return found


def test_before_and_after_are_simpleitks_on_the_whole_volume(case, field):
    fixed, moving = fixed_mask(case), moving_mask(case)
    found = structure_quality(fixed, moving, field)
    for number, (dice, hd95, assd) in enumerate(by_simpleitk(fixed, moving, field)):
        assert found.dice[number] == pytest.approx(dice, abs=1e-9)
        assert found.hd95[number] == pytest.approx(hd95, abs=1e-4)
        assert found.assd[number] == pytest.approx(assd, abs=1e-4)


def test_a_right_field_puts_the_structures_on_each_other(case, field):
    found = structure_quality(fixed_mask(case), moving_mask(case), field)
    assert found.dice[0] < 0.75 and found.dice[1] > 0.93
    assert found.hd95[0] > 5 and found.hd95[1] <= max(case.fixed_grid.spacing)
    assert found.assd[0] > 2 and found.assd[1] < 0.7


def test_an_image_cut_close_to_the_structure_changes_nothing(case, field):
    fixed, moving = fixed_mask(case), moving_mask(case, (0, 0, 4))
    first, last = (np.array(v) for v in _box(fixed))
    cut = sitk.RegionOfInterest(fixed, (last - first + 1).tolist(), first.tolist())
    assert structure_quality(cut, moving, field) == structure_quality(fixed, moving, field)


def test_the_fixed_structure_may_lie_on_any_grid(case, field):
    fixed_grid = oblique_grid((41, 50, 33), (1.7, 1.5, 1.9), case.fixed_grid.center, rotation(31, 12, -40))
    fixed = fixed_mask(case, fixed_grid)
    # Where this grid sticks out of the field, SimpleITK's transform is the identity: keep away from there.
    moving = moving_mask(case)
    found = structure_quality(fixed, moving, field)
    after = by_simpleitk(fixed, moving, field)[1]
    assert found.dice[1] == pytest.approx(after[0], abs=1e-9) and found.dice[1] > 0.93
    assert found.hd95[1] == pytest.approx(after[1], abs=1e-4)


def test_a_moving_structure_does_not_appear_twice_outside_the_field(case):
    # Outside the field's buffer ITK's transform is the identity: it finds the structure where it lay before.
    alignment = sitk.TranslationTransform(3, (300.0, 0.0, 0.0))
    apart = make_case(alignment=alignment)
    field = compose_displacement(apart.phi(), apart.network_grid, alignment, apart.fixed_grid, 3.0)
    center = apart.fixed_grid.center
    large = oblique_grid((340, 30, 30), (1.5, 2.0, 2.0), np.add(center, (100, 0, 0)), np.eye(3))
    fixed, moving = fixed_mask(apart, large), moving_mask(apart)
    # The fixed structure reaches to there.
    fixed = sitk.Or(fixed, ball(large, np.add(center, (330, 0, 0)), 1.6))
    found = structure_quality(fixed, moving, field)
    assert found.dice[0] == 0 and np.isnan(found.hd95[0])
    assert found.dice[1] > 0.93 and found.hd95[1] < 3


def test_a_missing_structure_has_no_distance_and_no_crash(case, field):
    fixed, moving = fixed_mask(case), moving_mask(case)
    nothing = fixed * 0, moving * 0
    for pair in ((nothing[0], moving), (fixed, nothing[1])):
        found = structure_quality(*pair, field)
        assert found.dice == (0, 0)
        assert np.isnan((*found.hd95, *found.assd)).all()
    found = structure_quality(*nothing, field)
    assert np.isnan((*found.dice, *found.hd95, *found.assd)).all()


def test_a_structure_carried_out_of_the_field_is_missing_after(case):
    away = sitk.GetImageFromArray(np.full((20, 20, 20, 3), (500.0, 0.0, 0.0), np.float32), isVector=True)
    away.SetOrigin(tuple(case.fixed_grid.center - 40))
    away.SetSpacing((4.0, 4.0, 4.0))
    found = structure_quality(
        ball(case.fixed_grid, case.fixed_grid.center, 12.0),
        ball(case.moving_grid, case.fixed_grid.center, 12.0),
        away,
    )
    assert found.dice[0] > 0.9 and found.hd95[0] < 3
    assert found.dice[1] == 0 and np.isnan(found.hd95[1])


def test_structures_are_matched_by_name_and_go_through_json(case, field):
    fixed = {"b": fixed_mask(case), "a": fixed_mask(case, shift=(0, 6, 0)), "lone": fixed_mask(case)}
    moving = {"a": moving_mask(case, (0, 6, 0)), "b": moving_mask(case), "other": moving_mask(case)}
    found = evaluate_structures(fixed, moving, field)
    assert list(found) == ["b", "a"]
    assert found["a"] == structure_quality(fixed["a"], moving["a"], field)
    assert json.loads(json.dumps(found["b"].to_json())) == {
        "dice": list(found["b"].dice),
        "hd95": list(found["b"].hd95),
        "assd": list(found["b"].assd),
    }
    assert evaluate_structures({"x": fixed["b"]}, {"y": moving["b"]}, field) == {}


def test_json_has_no_nan():
    nan = float("nan")
    text = json.dumps(StructureQuality((0.0, 0.5), (nan, 2.0), (nan, nan)).to_json(), allow_nan=False)
    assert json.loads(text) == {"dice": [0.0, 0.5], "hd95": [None, 2.0], "assd": [None, None]}


@pytest.mark.parametrize("size", [(13, 10, 9), (2, 5, 4), (1, 3, 6)])
def test_preimage_misses_no_point(size):
    generator = np.random.default_rng(1)
    grid = oblique_grid(size, (3.1, 4.2, 5.3), (11, -23, 35), rotation(12, -9, 17))
    vectors = generator.normal(scale=2, size=(*size[::-1], 3)).astype(np.float32)
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.SetOrigin(grid.origin)
    field.SetSpacing(grid.spacing)
    field.SetDirection(grid.direction)
    points = grid.to_lps(generator.uniform(-0.5, np.asarray(size) - 0.5, (4000, 3)))
    mapped = map_points(field, points)
    preimage = Preimage(field)
    for center in mapped[:400]:
        low, high = center - 0.2, center + 0.2
        hits = points[((mapped >= low) & (mapped <= high)).all(axis=1)]
        box, index = (grid.to_index(found) for found in (preimage.corners(low, high), hits))
        assert (index >= box.min(axis=0) - 1e-6).all() and (index <= box.max(axis=0) + 1e-6).all()
    assert preimage.corners(grid.center + 1000, grid.center + 1001) is None


def test_preimage_is_tight_enough_to_save_work(case, field):
    center = case.fixed_grid.center
    target = case.mapped(center[None])[0]
    corners = Grid.from_image(field).to_index(Preimage(field).corners(target - 2, target + 2))
    assert np.prod(np.ptp(corners, axis=0)) < 0.15 * np.prod(field.GetSize())


def _box(mask):
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    box = np.array(statistics.GetBoundingBox(1))
    return box[:3], box[:3] + box[3:] - 1
