"""Intensities become [0, 1] whatever the scanner's scale, and the anatomy is told from the background."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of
from shared_data import require_shared

from SACBRegistrationLib.imaging.foreground import bounding_box, foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.normalization import Normalization, foreground, normalize
from SACBRegistrationLib.imaging.tensors import array_to_image

MR = Normalization("percentile", 0.1, 99.9)
CT = Normalization("window", -1000.0, 1000.0)
GRID = oblique_grid(size=(70, 56, 40), spacing=(1.1, 1.4, 1.9))


def values_of(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def head(grid: Grid = GRID) -> tuple[np.ndarray, np.ndarray]:
    """Tissue of 300 to 1000 in an ellipsoid, with a dark ventricle of 0; and where it is, [x, y, z] each."""
    local = points_of(grid) - (grid.center + np.array((2, -3, 4)))
    inside = ((local / (24, 27, 25)) ** 2).sum(axis=-1) < 1
    waves = 650 + 350 * np.sin(local[..., 0] / 5) * np.cos(local[..., 1] / 7)
    values = np.where(inside, waves, 0)
    values[((local / (6, 4, 5)) ** 2).sum(axis=-1) < 1] = 0
    return values.astype(np.float32), inside


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("painted", [0.0, -1024.0, 7.5, 500.0])
def test_painted_background_is_found_exactly(painted):
    values, inside = head()
    values[~inside] = painted
    found = values_of(foreground_mask(array_to_image(values, GRID))) == 1
    np.testing.assert_array_equal(found, inside)


@pytest.mark.parametrize("offset", [0.0, -2000.0, 300.0])
@pytest.mark.parametrize("padded", [False, True])
def test_noisy_air_is_no_foreground(offset, padded):
    values, inside = head()
    rng = np.random.default_rng(3)
    values = np.hypot(values + rng.normal(0, 30, values.shape), rng.normal(0, 30, values.shape)) + offset
    if padded:
        values[:9], values[:, -7:] = offset, offset
        inside[:9], inside[:, -7:] = False, False
    found = values_of(foreground_mask(array_to_image(values.astype(np.float32), GRID))) == 1
    assert dice(found, inside) > 0.95


def test_ct_body_without_table():
    values, inside = head()
    local = points_of(GRID) - GRID.center
    hounsfield = np.where(inside, values / 10 - 30, -1000).astype(np.float32)
    lung = ((local - (8, -3, 4)) / (6, 8, 7)) ** 2
    hounsfield[lung.sum(axis=-1) < 1] = -850
    table = (abs(local[..., 1] - 30) < 1) & (abs(local[..., 0]) < 15)
    hounsfield[table] = 200
    hounsfield += np.random.default_rng(0).normal(0, 15, GRID.size).astype(np.float32)
    found = values_of(foreground(array_to_image(hounsfield, GRID), CT)) == 1
    assert dice(found, inside) > 0.95
    assert not found[table].any()


def test_nothing_that_stands_out_is_everything():
    rng = np.random.default_rng(0)
    image = array_to_image(rng.normal(-1000, 5, GRID.size).astype(np.float32), GRID)
    assert values_of(foreground_mask(image, -500.0)).all()


def test_mask_keeps_the_images_grid_and_type():
    mask = foreground_mask(sitk.Cast(blobs(GRID), sitk.sitkUInt16))
    assert Grid.from_image(mask) == GRID
    assert mask.GetPixelID() == sitk.sitkUInt8


def test_bounding_box_names_the_outermost_voxels():
    values = np.zeros(GRID.size, np.uint8)
    values[5:9, 11:40, 3] = 2
    low, high = bounding_box(array_to_image(values, GRID))
    assert low.tolist() == [5, 11, 3] and high.tolist() == [8, 39, 3]
    with pytest.raises(ValueError, match="empty"):
        bounding_box(array_to_image(np.zeros(GRID.size, np.uint8), GRID))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.001, 0.0), (37.0, 0.0), (1.0, -600.0)])
def test_percentiles_do_not_depend_on_the_scale(scale, offset):
    values, inside = head()
    result = normalize(array_to_image((values * scale + offset).astype(np.float32), GRID), MR)
    assert result.GetPixelID() == sitk.sitkFloat32
    assert Grid.from_image(result) == GRID
    low, high = np.percentile(values[inside], (0.1, 99.9))
    expected = np.where(inside, np.clip((values - low) / (high - low), 0, 1), 0)
    np.testing.assert_allclose(values_of(result), expected, atol=2e-5)
    assert values_of(result).max() == 1 and values_of(result).min() == 0


def test_outliers_do_not_squeeze_the_tissue():
    values, inside = head()
    image = array_to_image(values, GRID)
    spiked = sitk.Image(image)
    spiked[35, 28, 10] = 1e6
    change = abs(values_of(normalize(spiked, MR)) - values_of(normalize(image, MR)))
    assert change[inside].max() <= 1 and np.percentile(change[inside], 99.9) < 0.01


def test_background_becomes_zero_even_where_it_is_brighter():
    values, inside = head()
    values[~inside] = 500
    result = values_of(normalize(array_to_image(values, GRID), MR))
    assert not result[~inside].any()


def test_mask_decides_the_percentiles_and_what_remains():
    values, inside = head()
    mask = inside & (points_of(GRID)[..., 2] > GRID.center[2])
    result = values_of(
        normalize(array_to_image(values, GRID), MR, array_to_image(mask.astype(np.uint8), GRID))
    )
    low, high = np.percentile(values[mask], (0.1, 99.9))
    np.testing.assert_allclose(result[mask], np.clip((values[mask] - low) / (high - low), 0, 1), atol=2e-5)
    assert not result[~mask].any()


def test_window_is_linear_and_clipped():
    image = array_to_image(np.linspace(-1500, 1500, np.prod(GRID.size)).reshape(GRID.size), GRID)
    values = values_of(image)
    np.testing.assert_allclose(
        values_of(normalize(image, CT)), np.clip((values + 1000) / 2000, 0, 1), atol=1e-6
    )


def test_binary_images_survive():
    result = values_of(normalize(blobs(GRID) > 10, MR))
    assert set(np.unique(result)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("kind", "lower", "upper"),
    [("zscore", 0, 1), ("window", 5, 5), ("percentile", -1, 99), ("percentile", 1, 101)],
)
def test_settings_without_meaning(kind, lower, upper):
    with pytest.raises(ValueError, match=r"normalization|percentiles"):
        Normalization(kind, lower, upper)


def test_real_brain_is_found_exactly():
    image = sitk.ReadImage(str(require_shared("data/brain-oasis/1000_t1.nii.gz")))
    labels = sitk.ReadImage(str(require_shared("data/brain-oasis/1000_labels.nii.gz")))
    mask = foreground_mask(image)
    found, brain = values_of(mask) == 1, values_of(image) != 0
    assert (found & brain).sum() > 0.999 * brain.sum()
    # Holes inside the brain are filled.
    assert found[values_of(labels) > 0].mean() > 0.999


def test_real_body_is_found_without_the_table():
    image = sitk.ReadImage(str(require_shared("data/abdomen-ircad/ircad07_ct.nii.gz")))
    labels = values_of(sitk.ReadImage(str(require_shared("data/abdomen-ircad/ircad07_labels.nii.gz"))))
    found = values_of(foreground(image, CT)) == 1
    organs = np.isin(labels, (2, 6, 7, 8, 9))
    assert found[organs].mean() > 0.999
    assert 0.3 < found.mean() < 0.6
