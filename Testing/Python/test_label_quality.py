"""Measures of whole label maps and SSIM against brute force, direct formulas and each other."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of
from structure_fixtures import brute_force

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.evaluation import structural_similarity as ssim
from SACBRegistrationLib.evaluation.dice import dice_per_label
from SACBRegistrationLib.evaluation.label_quality import label_quality
from SACBRegistrationLib.imaging.tensors import array_to_image

LABELS = [-3, 7, 300]
NAN = pytest.approx(float("nan"), nan_ok=True)


def label_map(grid, seed, shift=(0.0, 0.0, 0.0)) -> sitk.Image:
    """Three ellipsoids with wobbling borders; the last reaches the volume's border."""
    local = points_of(grid) - grid.center - np.asarray(shift)
    wobble = np.random.default_rng(seed).normal(scale=0.12, size=local.shape[:3])
    values = np.zeros(grid.size, np.int32)
    for label, middle, radii in zip(
        LABELS, ((-8, 6, 0), (6, -10, 4), (4, 9, -19)), ((7, 9, 8), (9, 6, 7), (9, 8, 12)), strict=True
    ):
        values[(((local - middle) / radii) ** 2).sum(axis=-1) < 1 + wobble] = label
    return array_to_image(values, grid)


@pytest.mark.parametrize("left_handed", [False, True])
def test_every_structure_agrees_with_brute_force(left_handed):
    grid = oblique_grid(left_handed=left_handed)
    fixed = label_map(grid, 0)
    warped = {"before": label_map(grid, 1, (4.0, -3.0, 5.0)), "after": label_map(grid, 2, (0.5, 1.0, 0.0))}
    found = label_quality(fixed, warped, LABELS)
    assert list(found) == LABELS
    for name, image in warped.items():
        dice = dice_per_label(fixed, image, LABELS)
        for label in LABELS:
            _, hd95, assd = brute_force(fixed == label, image == label)
            assert found[label][name].dice == pytest.approx(dice[label], abs=1e-12)
            assert found[label][name].hd95 == pytest.approx(hd95, abs=1e-4)
            assert found[label][name].assd == pytest.approx(assd, abs=1e-4)
    assert found[7]["before"].hd95 > found[7]["after"].hd95 > 0


def test_a_lost_structure_scores_zero_and_an_absent_one_nothing():
    fixed = label_map(oblique_grid(), 0)
    lost = sitk.ChangeLabel(fixed, {7: 0})
    found = label_quality(fixed, {"lost": lost, "same": fixed}, [7, 11])
    assert found[7]["lost"].dice == 0
    assert [found[7]["lost"].hd95, found[7]["lost"].assd] == [NAN, NAN]
    assert [found[7]["same"].dice, found[7]["same"].hd95, found[7]["same"].assd] == [1, 0, 0]
    for measures in found[11].values():
        assert [measures.dice, measures.hd95, measures.assd] == [NAN] * 3
    assert label_quality(fixed, {"same": fixed}, []) == {}
    turned = label_quality(lost, {"found": fixed, "same": lost}, [7])[7]
    assert turned["found"].dice == 0 and turned["same"].dice == NAN


def test_maps_of_different_grids_are_refused():
    with pytest.raises(ValueError, match="same grid"):
        label_quality(label_map(oblique_grid(), 0), {"x": label_map(oblique_grid((9, 7, 6)), 0)}, [7])


def direct_ssim(first: np.ndarray, second: np.ndarray, place: tuple[int, int, int]) -> float:
    """SSIM at one voxel, written out from Wang et al. 2004 with a 3D Gaussian window."""
    window = tuple(slice(i - 5, i + 6) for i in place)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.einsum("i,j,k->ijk", line, line, line)
    weights /= weights.sum()
    x, y = first[window].astype(float), second[window].astype(float)
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


@pytest.fixture
def images():
    pytest.importorskip("skimage", reason="scikit-image is not installed: it is in the evaluation extra")
    grid = oblique_grid((17, 15, 19))
    first = blobs(grid) / 170.0
    second = sitk.AdditiveGaussianNoise(blobs(grid, grid.center + 2.0), 8.0, 0.0, 5) / 190.0
    return first, sitk.Clamp(second, sitk.sitkFloat32, 0.0, 1.0)


@pytest.mark.parametrize("slab", [1, 2**23])
def test_ssim_is_the_mean_of_the_formula(images, monkeypatch, slab):
    monkeypatch.setattr(ssim, "_SLAB_VOXELS", slab)
    first, second = (sitk.GetArrayFromImage(image) for image in images)
    inner = [range(5, n - 5) for n in first.shape]
    expected = {
        (z, y, x): direct_ssim(first, second, (z, y, x)) for z in inner[0] for y in inner[1] for x in inner[2]
    }
    mask = images[0] > 0.45
    inside = sitk.GetArrayViewFromImage(mask) != 0
    found = ssim.structural_similarity(*images, mask)
    assert found.volume == pytest.approx(np.mean(list(expected.values())), abs=2e-5)
    chosen = [value for place, value in expected.items() if inside[place]]
    assert 20 < len(chosen) < len(expected)
    assert found.anatomy == pytest.approx(np.mean(chosen), abs=2e-5)
    assert 0 < found.volume < 0.95


def test_ssim_of_an_image_with_itself_is_one(images):
    found = ssim.structural_similarity(images[0], images[0])
    assert found.volume == pytest.approx(1) and found.anatomy == NAN


def test_ssim_of_a_thin_volume_is_unknown(images):
    thin = images[0][:, :, 3:13]
    assert ssim.structural_similarity(thin, thin).volume == NAN
    with pytest.raises(ValueError, match="same grid"):
        ssim.structural_similarity(thin, images[0])


def test_missing_scikit_image_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr(ssim.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^SSIM needs scikit-image; install it with .*\.$"):
        ssim.require_scikit_image()
