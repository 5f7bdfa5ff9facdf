"""Dice, local correlation and displacement statistics against independent computations."""

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, smooth_image

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.evaluation.dice import common_labels, dice_per_label, mean_dice
from SACBRegistrationLib.evaluation.displacement_statistics import displacement_statistics
from SACBRegistrationLib.evaluation.local_ncc import local_ncc
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import inside_volume


def image_of(array, pixel=None):
    image = sitk.GetImageFromArray(array)
    return image if pixel is None else sitk.Cast(image, pixel)


def random_labels(seed, shape=(12, 17, 23)):
    return np.random.default_rng(seed).choice([0, 3, 17, 205, 1024], shape).astype(np.uint16)


def test_dice_agrees_with_simpleitk():
    fixed, warped = image_of(random_labels(0)), image_of(random_labels(1))
    scores = dice_per_label(fixed, warped)
    assert sorted(scores) == [3, 17, 205, 1024]
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(fixed, warped)
    for label, score in scores.items():
        assert score == pytest.approx(overlap.GetDiceCoefficient(label))
    assert mean_dice(scores) == pytest.approx(np.mean(list(scores.values())))


def test_only_labels_of_both_maps_count_and_a_lost_one_scores_zero():
    fixed, moving = random_labels(0), random_labels(1)
    moving[moving == 17] = 99
    labels = common_labels(image_of(fixed), image_of(moving))
    assert labels == [3, 205, 1024]
    warped = np.where(moving == 205, 0, moving)
    scores = dice_per_label(image_of(fixed), image_of(warped), labels)
    assert scores[205] == 0 and scores[3] > 0
    assert set(scores) == {3, 205, 1024}


def test_negative_and_whole_floating_labels_are_read():
    fixed = random_labels(0).astype(np.int32) - 5
    scores = dice_per_label(image_of(fixed), image_of(fixed.astype(np.float32)))
    assert scores == {-5: 1.0, -2: 1.0, 12: 1.0, 200: 1.0, 1019: 1.0}


def test_no_common_label_gives_no_score():
    empty = image_of(np.zeros((4, 5, 6), np.uint8))
    assert dice_per_label(empty, empty) == {}
    assert np.isnan(mean_dice({}))


def test_fractions_are_no_labels():
    fractions = image_of(np.linspace(0, 1, 120, dtype=np.float32).reshape(4, 5, 6))
    with pytest.raises(UserError, match="whole numbers"):
        dice_per_label(fractions, fractions)


def test_dice_on_different_grids_is_refused():
    with pytest.raises(ValueError, match="same grid"):
        dice_per_label(image_of(random_labels(0)), image_of(random_labels(0, (3, 4, 5))))


def plain_local_ncc(a, b, window):
    """Straight from the definition, voxel by voxel."""
    a, b = ((x - x.mean()) / x.std() for x in (a.astype(float), b.astype(float)))
    result, reach = np.zeros(a.shape), window // 2
    for place in np.ndindex(*a.shape):
        box = tuple(slice(max(p - reach, 0), p + reach + 1) for p in place)
        u, v = a[box] - a[box].mean(), b[box] - b[box].mean()
        result[place] = (u * v).mean() ** 2 / ((u * u).mean() * (v * v).mean() + 1e-5)
    return result


def test_local_ncc_agrees_with_its_definition():
    generator = np.random.default_rng(0)
    a = generator.normal(500, 30, (11, 9, 13))
    b = 0.5 * a + generator.normal(0, 12, a.shape)
    exact = plain_local_ncc(a, b, 5)
    assert 0.2 < exact.mean() < 0.9
    assert local_ncc(image_of(a), image_of(b), window=5) == pytest.approx(exact.mean(), abs=1e-4)
    mask = (generator.uniform(size=a.shape) > 0.6).astype(np.uint8)
    masked = local_ncc(image_of(a), image_of(b), image_of(mask), window=5)
    assert masked == pytest.approx(exact[mask > 0].mean(), abs=1e-4)


def test_local_ncc_in_slabs_is_the_same(monkeypatch):
    from SACBRegistrationLib.evaluation import local_ncc as module

    case = make_case()
    a, b = smooth_image(case.fixed_grid, 1), smooth_image(case.fixed_grid, 2)
    whole = local_ncc(a, b)
    monkeypatch.setattr(module, "_SLAB_VOXELS", 5 * case.fixed_grid.size[0] * case.fixed_grid.size[1])
    assert local_ncc(a, b) == pytest.approx(whole, abs=1e-6)


def test_local_ncc_ignores_gain_and_sign_and_knows_flat_images():
    image = smooth_image(make_case().fixed_grid, 1) + sitk.AdditiveGaussianNoise(
        smooth_image(make_case().fixed_grid, 1) * 0, 50, 0, 3
    )
    assert local_ncc(image, image * -3 + 70) > 0.99
    assert local_ncc(image, image * 0 + 5) == 0


def test_local_ncc_refuses_what_it_cannot_compare():
    a = image_of(np.random.default_rng(0).normal(size=(6, 7, 8)))
    with pytest.raises(ValueError, match="same grid"):
        local_ncc(a, image_of(np.zeros((5, 5, 5))))
    with pytest.raises(ValueError, match="odd"):
        local_ncc(a, a, window=8)
    with pytest.raises(ValueError, match="empty"):
        local_ncc(a, a, sitk.Image(a.GetSize(), sitk.sitkUInt8))


def test_displacement_statistics_of_a_registration():
    case = make_case()
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    inside = inside_volume(Grid.from_image(field), case.fixed_grid)
    statistics = displacement_statistics(field, inside)
    points = case.points(4000)
    lengths = np.linalg.norm(case.mapped(points) - points, axis=1)
    assert statistics.mean_mm == pytest.approx(lengths.mean(), abs=0.5)
    assert statistics.p99_mm == pytest.approx(np.percentile(lengths, 99), abs=0.8)
    assert statistics.maximum_mm == pytest.approx(lengths.max(), abs=1.5)
    assert set(statistics.as_dict()) == {"mean_mm", "p99_mm", "maximum_mm"}
    with pytest.raises(ValueError, match="no voxel"):
        displacement_statistics(field, inside * 0)
