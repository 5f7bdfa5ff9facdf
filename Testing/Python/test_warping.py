"""Warping against a plain evaluation of the transform, and number types."""

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, smooth_image

from SACBRegistrationLib.imaging.displacement import as_transform, compose_displacement, map_points
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.warping import warp_volume


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def field(case):
    return compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)


def test_warped_voxels_hold_the_moving_image_at_the_mapped_points(case, field):
    moving = smooth_image(case.moving_grid)
    warped = warp_volume(moving, field, case.fixed_grid)
    assert Grid.from_image(warped) == case.fixed_grid
    index = np.random.default_rng(0).integers(0, case.fixed_grid.size, (400, 3))
    mapped = map_points(field, case.fixed_grid.to_lps(index))
    place = case.moving_grid.to_index(mapped)
    inside = ((place > 0) & (place < np.asarray(case.moving_grid.size) - 1)).all(axis=1)
    assert inside.sum() > 100
    expected = [moving.EvaluateAtContinuousIndex(p.tolist()) for p in place[inside]]
    found = [warped.GetPixel(i.tolist()) for i in index[inside]]
    assert np.abs(np.subtract(found, expected)).max() < 0.05
    assert np.ptp(expected) > 200
    # Neither the field reversed nor left out gives these values.
    unmoved = sitk.Resample(moving, warped)
    assert np.abs(np.subtract([unmoved.GetPixel(i.tolist()) for i in index[inside]], expected)).max() > 100


def test_field_and_transform_warp_alike(case, field):
    moving = smooth_image(case.moving_grid)
    by_field = warp_volume(moving, field, case.fixed_grid)
    by_transform = warp_volume(moving, as_transform(field), case.fixed_grid)
    assert np.array_equal(sitk.GetArrayViewFromImage(by_field), sitk.GetArrayViewFromImage(by_transform))


@pytest.mark.parametrize(
    "pixel", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16, sitk.sitkInt32, sitk.sitkUInt32]
)
def test_integers_are_rounded_not_cut_off(case, field, pixel):
    scale = 0.2 if pixel == sitk.sitkUInt8 else 1.0
    moving = sitk.Cast(sitk.Round(smooth_image(case.moving_grid) * scale), pixel)
    warped = warp_volume(moving, field, case.fixed_grid)
    assert warped.GetPixelID() == pixel
    exact = warp_volume(sitk.Cast(moving, sitk.sitkFloat64), field, case.fixed_grid)
    error = sitk.GetArrayFromImage(sitk.Cast(warped, sitk.sitkFloat64)) - sitk.GetArrayViewFromImage(exact)
    assert np.abs(error).max() <= 0.5 + 1e-4
    assert abs(error[sitk.GetArrayViewFromImage(exact) > 1].mean()) < 0.02


def test_large_integers_keep_their_digits(case, field):
    moving = sitk.Cast(smooth_image(case.moving_grid), sitk.sitkInt32) * 0 + (2**24 + 1)
    warped = warp_volume(moving, field, case.fixed_grid)
    assert set(np.unique(sitk.GetArrayViewFromImage(warped))) == {0, 2**24 + 1}


def test_labels_stay_labels(case, field):
    labels = sitk.Cast(smooth_image(case.moving_grid) > 300, sitk.sitkUInt16) * 1037
    warped = warp_volume(labels, field, case.fixed_grid, sitk.sitkNearestNeighbor)
    assert warped.GetPixelID() == sitk.sitkUInt16
    assert set(np.unique(sitk.GetArrayViewFromImage(warped))) == {0, 1037}


def test_outside_the_moving_image_is_the_default(case, field):
    moving = sitk.Cast(smooth_image(case.moving_grid), sitk.sitkInt16)
    warped = warp_volume(moving, field, case.fixed_grid, default=-1000)
    assert sitk.GetArrayViewFromImage(warped).min() == -1000
