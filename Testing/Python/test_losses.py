"""The loss terms against the published code's recorded values and against sums written out."""

import numpy as np
import pytest
import torch
from shared_data import require_shared

from SACBRegistrationLib.training.losses import box_sums, diffusion, folding_percent, local_ncc, soft_dice


@pytest.mark.parametrize("name", ["channel_k5_48x48x64", "mixed_k5_48x48x64", "spatial_k7_64x80x96"])
def test_ncc_and_diffusion_match_the_recorded_values(name):
    recorded = np.load(require_shared(f"golden/{name}.npz"))
    warped, fixed, phi = (torch.from_numpy(recorded[key]) for key in ("warped", "fixed", "phi"))
    assert float(local_ncc(warped[None, None], fixed[None, None])) == pytest.approx(
        float(recorded["ncc"]), rel=1e-5
    )
    assert float(diffusion(phi[None])) == pytest.approx(float(recorded["diffusion"]), rel=1e-5)


def test_box_sums_are_the_sums_over_the_cube_with_zeros_outside():
    volume = torch.rand(1, 2, 11, 9, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = np.pad(volume.numpy(), [(0, 0), (0, 0), (2, 2), (2, 2), (2, 2)])
    literal = np.zeros(volume.shape)
    for d, h, w in np.ndindex(11, 9, 13):
        literal[:, :, d, h, w] = padded[:, :, d : d + 5, h : h + 5, w : w + 5].sum(axis=(2, 3, 4))
    np.testing.assert_allclose(box_sums(volume, 5).numpy(), literal, rtol=1e-12)


def test_ncc_gradient_matches_finite_differences():
    generator = torch.Generator().manual_seed(1)
    warped, fixed = (torch.rand(1, 1, 6, 5, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    assert torch.autograd.gradcheck(lambda w: local_ncc(w, fixed, window=3), warped.requires_grad_())


def test_ncc_is_blind_to_scale_and_sign_and_best_for_the_same_image():
    generator = torch.Generator().manual_seed(2)
    # Zero mean: outside the volume is zero, so that an offset would show at the border.
    image, other = (torch.randn(1, 1, 16, 20, 18, generator=generator) for _ in range(2))
    best = float(local_ncc(image, image))
    assert best == pytest.approx(-1, abs=1e-3)
    assert float(local_ncc(-2 * image, image)) == pytest.approx(best, abs=1e-3)
    assert float(local_ncc(other, image)) > -0.1


def test_diffusion_of_a_linear_field_is_its_mean_squared_slope():
    d, h, w = torch.meshgrid(*(torch.arange(float(n)) for n in (5, 6, 7)), indexing="ij")
    field = torch.stack([0.1 * d, 0.2 * h + 0.3 * w, 0 * d])[None]
    slopes = [0.1**2 / 3, 0.2**2 / 3, 0.3**2 / 3]
    assert float(diffusion(field)) == pytest.approx(sum(slopes) / 3, rel=1e-5)


def test_soft_dice_is_one_for_equal_partial_volumes_and_leaves_out_absent_structures():
    shares = torch.zeros(1, 3, 4, 4, 4)
    shares[:, 0, :2], shares[:, 1, 1:3] = 0.3, 0.7
    assert float(soft_dice(shares, shares)) == pytest.approx(1)
    shifted = shares.roll(1, dims=2)
    expected = np.mean([2 * 0.09 * 16 / (2 * 0.09 * 32), 2 * 0.49 * 16 / (2 * 0.49 * 32)])
    assert float(soft_dice(shares, shifted)) == pytest.approx(expected)
    assert float(soft_dice(0 * shares, 0 * shares)) == 1


def test_folding_counts_the_voxels_where_the_map_turns_back():
    field = torch.zeros(1, 3, 9, 8, 7)
    assert float(folding_percent(field)) == 0
    # The step from voxel 3 to 4 goes back by one voxel: one of eight slabs folds.
    field[:, 0, 4:] = -2
    assert float(folding_percent(field)) == pytest.approx(100 / 8)
    field = torch.zeros(1, 3, 9, 8, 7)
    field[:, 2] = -2 * torch.arange(7.0)
    assert float(folding_percent(field)) == 100
