"""The bundled pair: its truth holds voxel by voxel, through SimpleITK's own resampler."""

import numpy as np
import pytest
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.phantom import PhantomPair, make_phantom_pair
from SACBRegistrationLib.presets import load_preset


@pytest.fixture(scope="module")
def pair() -> PhantomPair:
    return make_phantom_pair()


@pytest.fixture(scope="module")
def true_transform(pair) -> sitk.DisplacementFieldTransform:
    """The truth as SimpleITK applies it: a field at twice the fixed spacing, covering the fixed volume."""
    fixed = Grid.from_image(pair.fixed)
    coarse = Grid(
        tuple(n // 2 + 1 for n in fixed.size),
        tuple(2 * s for s in fixed.spacing),
        fixed.origin,
        fixed.direction,
    )
    return sitk.DisplacementFieldTransform(pair.truth.field(coarse))


def affine_part(pair: PhantomPair) -> sitk.AffineTransform:
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(pair.truth.matrix.ravel().tolist())
    affine.SetTranslation(pair.truth.offset.tolist())
    return affine


def dice(a: sitk.Image, b: sitk.Image) -> dict[int, float]:
    a, b = sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b)
    values = sorted(set(np.unique(a).tolist()) & set(np.unique(b).tolist()) - {0})
    return {v: 2 * np.sum((a == v) & (b == v)) / (np.sum(a == v) + np.sum(b == v)) for v in values}


def test_grids_are_oblique_anisotropic_and_different(pair):
    fixed, moving = Grid.from_image(pair.fixed), Grid.from_image(pair.moving)
    for grid in (fixed, moving):
        assert len(set(grid.spacing)) == 3 and len(set(grid.size)) == 3
        # No index axis is within 3 degrees of an anatomical one.
        assert np.abs(grid.axes).max() < np.cos(np.deg2rad(3))
        assert np.allclose(grid.axes.T @ grid.axes, np.eye(3), atol=1e-9)
    assert fixed.axis_codes != moving.axis_codes
    assert fixed.size != moving.size and fixed.origin != moving.origin
    assert Grid.from_image(pair.fixed_labels) == fixed and Grid.from_image(pair.moving_labels) == moving


def test_brain_lies_within_both_volumes(pair):
    for labels in (pair.fixed_labels, pair.moving_labels):
        array = sitk.GetArrayViewFromImage(labels)
        for axis in range(3):
            assert not array.take((0, -1), axis=axis).any()


def test_labels_are_those_of_the_preset(pair):
    names = load_preset("ixi").labels
    for labels in (pair.fixed_labels, pair.moving_labels):
        values, counts = np.unique(sitk.GetArrayViewFromImage(labels), return_counts=True)
        assert set(values.tolist()) - {0} <= set(names)
        assert len(values) - 1 == 26 and counts.min() > 300
        volume = np.prod(labels.GetSpacing()) * counts[1:].sum()
        assert 1.1e6 < volume < 1.6e6  # mm^3, an adult brain


def test_tissues_differ_in_brightness_as_in_t1(pair):
    image = sitk.GetArrayViewFromImage(pair.fixed)
    labels = sitk.GetArrayViewFromImage(pair.fixed_labels)
    fluid, gray, white = (np.median(image[np.isin(labels, v)]) for v in ((4, 43), (3, 42), (2, 41)))
    assert fluid < 0.5 * gray and gray < 0.8 * white
    assert not image[labels == 0].astype(float).mean() > 5


def test_truth_carries_the_labels(pair, true_transform):
    warped = sitk.Resample(pair.moving_labels, pair.fixed_labels, true_transform, sitk.sitkNearestNeighbor)
    scores = dice(pair.fixed_labels, warped)
    scores.pop(24)  # the film of fluid in the sulci is thinner than a voxel
    assert np.mean(list(scores.values())) > 0.9
    assert min(scores.values()) > 0.78
    affine = sitk.Resample(pair.moving_labels, pair.fixed_labels, affine_part(pair), sitk.sitkNearestNeighbor)
    scores = dice(pair.fixed_labels, affine)
    scores.pop(24)
    assert np.mean(list(scores.values())) < 0.75  # so there is something to register


def test_truth_is_its_own_inverse_back_and_forth(pair):
    there = pair.truth.to_moving(pair.landmarks)
    assert np.abs(pair.truth.to_fixed(there) - pair.landmarks).max() < 1e-6
    assert np.allclose(pair.true_displacement(pair.landmarks), there - pair.landmarks)


def test_truth_does_not_fold(pair):
    step = 0.01
    slopes = [
        (pair.truth.to_moving(pair.landmarks + step * axis) - pair.truth.to_moving(pair.landmarks)) / step
        for axis in np.eye(3)
    ]
    determinants = np.linalg.det(np.stack(slopes, axis=-1))
    assert determinants.min() > 0.4 and determinants.max() < 2.5


def test_truth_is_large_enough_to_matter(pair):
    deformation = pair.errors(affine_part(pair))
    assert 2 < deformation.mean() < 5 and 6 < deformation.max() < 12
    turn = np.linalg.svd(pair.truth.matrix)
    angle = np.rad2deg(np.arccos((np.trace(turn[0] @ turn[2]) - 1) / 2))
    assert 8 < angle < 12


def test_errors_are_measured_in_the_fixed_frame(pair, true_transform):
    assert pair.errors(true_transform).max() < 0.1
    moved = sitk.CompositeTransform([sitk.TranslationTransform(3, (3.0, 0.0, 4.0)), true_transform])
    assert np.abs(pair.errors(moved) - 5.0).max() < 0.1


def test_same_seed_same_voxels_other_seed_another_brain():
    pair, again, other = (make_phantom_pair(seed=seed, coarsening=2.5) for seed in (0, 0, 1))
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        first, second, third = (sitk.GetArrayFromImage(getattr(p, name)) for p in (pair, again, other))
        assert np.array_equal(first, second)
        assert not np.array_equal(first, third)
    assert np.array_equal(pair.landmarks, again.landmarks)


def test_coarser_voxels_show_the_same_brain(pair):
    coarse = make_phantom_pair(coarsening=2.5)
    assert np.allclose(np.divide(coarse.fixed.GetSpacing(), pair.fixed.GetSpacing()), 2.5)
    nearest = sitk.Resample(
        pair.fixed_labels, coarse.fixed_labels, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    found = dice(nearest, coarse.fixed_labels)
    assert len(found) > 20 and np.mean(list(found.values())) > 0.7


def test_another_seed_fits_its_volume_too():
    other = make_phantom_pair(seed=3, landmarks=50, coarsening=1.5)
    test_brain_lies_within_both_volumes(other)
    test_truth_is_its_own_inverse_back_and_forth(other)
    test_truth_does_not_fold(other)
