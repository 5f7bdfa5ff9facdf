"""Refining one pair: its pieces against other implementations, and a known deformation that it must find."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_pairs import make_small_pair
from torch.nn import functional as F

from SACBRegistrationLib.errors import CancelledError
from SACBRegistrationLib.evaluation.local_ncc import local_ncc
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import image_to_tensor, tensor_to_image
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.lattice import transfer
from SACBRegistrationLib.registration.pair import prepare_image
from SACBRegistrationLib.registration.refinement import (
    RefinementLevel,
    RefinementSettings,
    _Adam,
    refine,
)
from SACBRegistrationLib.registration.refining import (
    chosen_similarity,
    refinement_levels,
    weighted_correlation,
)
from SACBRegistrationLib.registration.similarity import LocalCorrelation
from SACBRegistrationLib.training.losses import diffusion, folding_percent

# Two turns, so that no axis of the grid lies along an axis of the world.
AXES = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
    [[1.0, 0.0, 0.0], [0.0, 0.96, -0.28], [0.0, 0.28, 0.96]]
)


def oblique(size, spacing, origin=(-31.0, 12.0, 57.0)) -> Grid:
    return Grid(size, (spacing,) * 3, origin, tuple(AXES.ravel()))


def texture(size, seed=0) -> torch.Tensor:
    noise = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(seed))
    for _ in range(2):
        noise = F.avg_pool3d(noise, 5, stride=1, padding=2, count_include_pad=False)
    return (noise - noise.min()) / (noise.max() - noise.min())


def bump(size, amplitude) -> torch.Tensor:
    """A smooth displacement [1, 3, D, H, W], voxels, zero at the border."""
    lines = [torch.sin(torch.linspace(0, torch.pi, n)) ** 2 for n in size]
    weight = lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return torch.stack([amplitude * weight, -0.7 * amplitude * weight, 0.5 * amplitude * weight])[None]


def warped_by_simpleitk(image: torch.Tensor, displacement: torch.Tensor, grid: Grid) -> torch.Tensor:
    mm = torch.einsum("ij,bjdhw->bidhw", torch.from_numpy(grid.matrix).float(), displacement)
    field = sitk.Cast(tensor_to_image(mm, grid), sitk.sitkVectorFloat64)
    moved = grid.resample(tensor_to_image(image, grid), sitk.DisplacementFieldTransform(field))
    return image_to_tensor(moved)


def test_local_correlation_is_the_evaluation_measure():
    size, grid = (24, 20, 28), oblique((24, 20, 28), 2.0)
    fixed = texture(size)
    warped = 0.6 * fixed + 0.4 * texture(size, 1)
    ours = LocalCorrelation(fixed, torch.ones_like(fixed), 9)(warped)
    assert float(ours) == pytest.approx(
        local_ncc(tensor_to_image(fixed, grid), tensor_to_image(warped, grid)), abs=2e-3
    )


def test_transfer_keeps_the_displacement_in_mm():
    source, target = (
        oblique((24, 32, 20), 3.0),
        oblique((31, 35, 27), 2.0, tuple(oblique((1,) * 3, 3.0).to_lps((2, 3, 1)))),
    )
    phi = bump(source.size, 2.0)
    moved = transfer(phi, source, target)
    reference = target.resample(tensor_to_image(phi * 3.0, source))
    assert torch.allclose(moved * 2.0, image_to_tensor(reference), atol=1e-3)


def test_transfer_refuses_turned_grids():
    turned = Grid((8, 8, 8), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    with pytest.raises(ValueError, match="axes"):
        transfer(torch.zeros(1, 3, 8, 8, 8), oblique((8, 8, 8), 1.0), turned)


@pytest.fixture(scope="module")
def known():
    """A pair whose moving image is the fixed one warped back by a known displacement, made by SimpleITK."""
    grid = oblique((40, 48, 36), 2.0)
    moving = texture(grid.size)
    truth = bump(grid.size, 2.5)
    fixed = warped_by_simpleitk(moving, truth, grid)
    return RefinementLevel(grid, fixed, moving, torch.ones_like(fixed)), truth


def error(displacement: torch.Tensor, truth: torch.Tensor) -> float:
    inner = (..., slice(6, -6), slice(6, -6), slice(6, -6))
    return float((displacement - truth)[inner].norm(dim=1).mean())


def test_a_known_deformation_is_found(known):
    level, truth = known
    before = [tensor.clone() for tensor in (level.fixed, level.moving, level.weight)]
    found = refine([level], None, RefinementSettings(steps=60))
    assert error(found.displacement, truth) < 0.15 * error(torch.zeros_like(truth), truth)
    assert found.grid == level.grid
    for tensor, copy in zip((level.fixed, level.moving, level.weight), before, strict=True):
        assert torch.equal(tensor, copy)


def test_a_good_start_is_kept_and_ends_early(known):
    level, truth = known
    found = refine([level], (truth, level.grid), RefinementSettings(steps=60))
    assert error(found.displacement, truth) < 0.2
    assert found.steps[0] < 60


def test_cancelling_takes_effect_at_once(known):
    event = threading.Event()
    seen = []

    def stop(fraction, stage):
        seen.append(fraction)
        if len(seen) == 3:
            event.set()

    with pytest.raises(CancelledError):
        refine([known[0]], None, RefinementSettings(steps=60), Progress(stop, event))
    assert len(seen) == 3


def test_different_contrasts_are_registered_by_their_self_similarity(known):
    level, truth = known
    # Bright becomes dark and the middle brightest: correlation has nothing to hold on to.
    other = replace(level, moving=torch.sin(2.6 * torch.pi * level.moving).square())
    errors = {
        name: error(refine([other], None, RefinementSettings(steps=60, similarity=name)).displacement, truth)
        for name in ("ncc", "mind")
    }
    before = error(torch.zeros_like(truth), truth)
    assert errors["mind"] < 0.4 * before and errors["mind"] < errors["ncc"]


def test_what_is_compared_depends_on_the_contrasts(known):
    level, _ = known
    assert weighted_correlation(level) > 0.5
    assert chosen_similarity("auto", level) == "ncc" and chosen_similarity("mind", level) == "mind"
    assert chosen_similarity("auto", replace(level, moving=1 - level.moving)) == "ncc"
    unlike = replace(level, moving=(level.fixed - level.fixed.mean()).abs())
    assert abs(weighted_correlation(unlike)) < 0.3 and chosen_similarity("auto", unlike) == "mind"
    assert weighted_correlation(replace(level, moving=torch.zeros_like(level.moving))) == 0


def test_a_level_that_does_not_fit_is_coarser_and_still_holds_the_anatomy():
    pair = make_small_pair()
    images = [
        prepare_image(image, role, load_preset("ixi").normalization, None, None)
        for image, role in ((pair.fixed, "fixed"), (pair.moving, "moving"))
    ]
    levels = [
        refinement_levels(*images, sitk.TranslationTransform(3), (3.0,), "LIA", torch.device("cpu"), most)[0]
        for most in (10**7, 40_000)
    ]
    assert levels[0].grid.spacing[0] == 3.0 and levels[1].fixed.numel() <= 40_000
    volumes = [float(level.weight.sum()) * np.prod(level.grid.spacing) for level in levels]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)


def test_a_pair_that_asks_for_folds_gets_none(known):
    level, _ = known
    # Unrelated noise: without the penalty the best correlation is a crumpled field.
    noise = replace(level, moving=texture(level.grid.size, 5))
    settings = RefinementSettings(steps=30, smoothness=0.02)
    crumpled = refine([noise], None, replace(settings, folding_weight=0.0)).displacement
    kept = refine([noise], None, replace(settings, folding_weight=100.0)).displacement
    assert float(folding_percent(crumpled)) > 1
    assert float(folding_percent(kept)) < 0.05


def test_more_smoothness_is_smoother(known):
    level, _ = known
    rough, smooth = (
        refine([level], None, RefinementSettings(steps=20, smoothness=factor)).displacement
        for factor in (0.3, 30.0)
    )
    assert float(diffusion(smooth)) < 0.5 * float(diffusion(rough))


def test_steps_are_adams():
    target = torch.arange(5.0)
    ours, theirs = (torch.linspace(-1, 1, 5) for _ in range(2))
    theirs.requires_grad_()
    mine, torchs = _Adam(ours, 0.3), torch.optim.Adam([theirs], lr=0.3)
    for _ in range(40):
        mine.step(ours, 4 * (ours - target) ** 3 + ours.cos())
        torchs.zero_grad()
        (((theirs - target) ** 4).sum() + theirs.sin().sum()).backward()
        torchs.step()
    assert (theirs - target).abs().max() < 2
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-5)
