"""Coarse grids receive averages, not aliases; positions are SimpleITK's."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of, rigid

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.resampling import resample, resample_labels, smooth, smoothing_sigma
from SACBRegistrationLib.imaging.tensors import array_to_image

FINE = oblique_grid(size=(64, 52, 40), spacing=(1.0, 1.3, 1.7))


def values_of(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def same_place(grid: Grid, size, spacing) -> Grid:
    """A grid along the same axes around the same centre."""
    half = (np.asarray(size) - 1) / 2 * np.asarray(spacing)
    return Grid(size, spacing, tuple(grid.center - grid.axes @ half), grid.direction)


def test_sigma_of_matched_axes_is_the_stated_formula():
    ratio = np.array([3.0, 2.0, 1.5])
    target = same_place(FINE, (20, 20, 20), tuple(ratio * FINE.spacing))
    expected = np.sqrt((ratio**2 - 1) / (8 * np.log(2))) * FINE.spacing
    np.testing.assert_allclose(smoothing_sigma(FINE, target), expected, rtol=1e-9)


def test_sigma_follows_permuted_and_flipped_axes():
    target = same_place(FINE, (20, 20, 20), (2.0, 3.9, 3.4))
    for codes in ("LIA", "SAR", "PIR"):
        np.testing.assert_allclose(
            smoothing_sigma(FINE, target.reoriented(codes)), smoothing_sigma(FINE, target)
        )


def test_finer_grids_need_no_smoothing():
    target = same_place(FINE, (70, 70, 70), (0.8, 1.3, 1.0))
    np.testing.assert_allclose(smoothing_sigma(FINE, target), 0, atol=1e-7)


def test_sigma_counts_the_transforms_scale_and_turn():
    target = same_place(FINE, (30, 30, 30), (2.0, 2.0, 2.0))
    scale = sitk.AffineTransform(3)
    scale.SetCenter(tuple(FINE.center))
    scale.Scale(2.0)
    doubled = same_place(FINE, (30, 30, 30), (4.0, 4.0, 4.0))
    np.testing.assert_allclose(
        smoothing_sigma(FINE, target, scale), smoothing_sigma(FINE, doubled), rtol=1e-6
    )
    # An isotropic target spreads equally along every axis however it is turned.
    turn = rigid(FINE.center, (20, 30, 40), (5, 6, 7))
    np.testing.assert_allclose(smoothing_sigma(FINE, target, turn), smoothing_sigma(FINE, target), rtol=1e-6)


def test_smoothing_has_the_asked_width_along_each_axis_in_mm():
    impulse = np.zeros(FINE.size, np.float32)
    impulse[32, 26, 20] = 1
    sigma = np.array([2.5, 0.0, 4.0])
    result = values_of(smooth(array_to_image(impulse, FINE), sigma))
    offsets = (np.indices(FINE.size).reshape(3, -1).T - (32, 26, 20)) * FINE.spacing
    widths = np.sqrt((result.reshape(-1, 1) * offsets**2).sum(axis=0) / result.sum())
    np.testing.assert_allclose(result.sum(), 1, atol=1e-4)
    np.testing.assert_allclose(widths, sigma, atol=0.15)


@pytest.mark.parametrize("sigma", [(0.4, 0.9, 2.0), (3.0, 0.0, 0.8), (0.0, 6.0, 0.0)])
def test_smoothing_is_simpleitks_gaussian_up_to_the_border(sigma):
    noise = np.random.default_rng(4).normal(size=FINE.size).astype(np.float32)
    image = array_to_image(noise, FINE)
    expected = sitk.DiscreteGaussian(image, [s**2 for s in sigma], maximumKernelWidth=64, maximumError=0.005)
    found = smooth(image, np.array(sigma))
    assert Grid.from_image(found) == FINE
    np.testing.assert_allclose(values_of(found), values_of(expected), atol=1e-5)
    np.testing.assert_array_equal(values_of(image), noise)


def test_checkerboard_does_not_alias():
    board = (np.indices(FINE.size).sum(axis=0) % 2 * 100).astype(np.float32)
    target = replace(
        FINE, size=(15, 14, 12), spacing=(3.0, 3.9, 5.1), origin=tuple(FINE.to_lps(np.array([5, 4, 3])))
    )
    found = values_of(resample(array_to_image(board, FINE), target))
    naive = values_of(target.resample(array_to_image(board, FINE)))
    inner = found[2:-2, 2:-2, 2:-2]
    assert abs(inner - 50).max() < 3
    assert abs(naive - 50).max() > 40


def test_linear_ramp_keeps_its_place():
    """A ramp in world coordinates stays itself under symmetric smoothing, so any shift would show."""
    slope = np.array([1.0, -2.0, 0.5])
    ramp = array_to_image((points_of(FINE) @ slope).astype(np.float32), FINE)
    target = oblique_grid(size=(9, 8, 7), spacing=(2.5, 3.0, 3.5), degrees=(-20, 35, 5))
    transform = rigid(FINE.center, (3, 5, -7), (1.0, -2.0, 1.5))
    found = values_of(resample(ramp, target, transform))
    points = points_of(target).reshape(-1, 3)
    expected = np.array([slope @ transform.TransformPoint(tuple(point)) for point in points]).reshape(
        target.size
    )
    np.testing.assert_allclose(found, expected, atol=2e-2)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SAL", "ILA"])
def test_parallel_grids_are_sampled_as_simpleitk_samples_the_smoothed_image(codes):
    """Permuted and flipped axes, a shift by parts of a voxel, and much beyond the image."""
    image = blobs(FINE)
    turned = FINE.reoriented(codes)
    grid = replace(
        turned, spacing=(2.0, 1.1, 3.1), size=(41, 57, 28), origin=tuple(turned.to_lps((-3.2, -1.1, 0.4)))
    )
    wanted = grid.resample(smooth(image, smoothing_sigma(FINE, grid)), default=7.0)
    outside = values_of(wanted) == 7
    assert 0.1 < outside.mean() < 0.9
    found = resample(image, grid, default=7.0)
    assert Grid.from_image(found) == Grid.from_image(wanted)
    np.testing.assert_allclose(values_of(found), values_of(wanted), atol=1e-3)
    np.testing.assert_array_equal(values_of(found) == 7, outside)


def test_same_grid_changes_nothing():
    image = blobs(FINE)
    np.testing.assert_allclose(values_of(resample(image, FINE)), values_of(image), atol=1e-4)


def test_outside_is_the_default():
    target = same_place(FINE, (200, 4, 4), (2.0, 2.0, 2.0))
    assert values_of(resample(blobs(FINE, background=50.0), target, default=-7.0))[0, 0, 0] == -7.0


@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkInt32])
def test_labels_stay_labels_and_lie_where_simpleitk_finds_them(pixel):
    labels = sitk.Cast(blobs(FINE), pixel)
    target = oblique_grid(size=(21, 19, 17), spacing=(2.1, 2.7, 2.9), degrees=(4, 60, 10))
    transform = rigid(FINE.center, (10, -5, 20), (4.0, 3.0, -6.0))
    found = resample_labels(labels, target, transform)
    assert found.GetPixelID() == pixel
    assert Grid.from_image(found) == target
    for index in ((10, 9, 8), (5, 12, 9), (13, 6, 11), (0, 0, 0)):
        point = transform.TransformPoint(found.TransformIndexToPhysicalPoint(index))
        source = labels.TransformPhysicalPointToIndex(point)
        inside = all(0 <= i < n for i, n in zip(source, labels.GetSize(), strict=True))
        assert found[index] == (labels[source] if inside else 0)
