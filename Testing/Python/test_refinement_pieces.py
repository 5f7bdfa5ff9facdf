"""The refinement's terms against literal formulas and torch's automatic differentiation."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.registration.box_filter import box_sum, bump
from SACBRegistrationLib.registration.linearized_warp import linearize_warp
from SACBRegistrationLib.registration.mind import CHANNELS, FeatureDistance, mind_ssc, neighbor_pairs
from SACBRegistrationLib.registration.regularization import FoldingPenalty, diffusion
from SACBRegistrationLib.registration.similarity import LocalCorrelation

SIZE = (9, 7, 11)
EVERYWHERE = torch.arange(9 * 7 * 11)


def draw(channels, seed=0, size=SIZE):
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(function, at):
    """Returns a function's value and its gradient by automatic differentiation."""
    variable = at.clone().requires_grad_()
    value = function(variable)
    return value.detach(), torch.autograd.grad(value, variable)[0]


def assert_both(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("window", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [SIZE, (3, 6, 5)])
def test_box_sum_is_torch_pooling(window, size):
    maps = draw(2, size=size)
    copy = maps.clone()
    theirs = F.avg_pool3d(
        F.pad(maps, [window // 2] * 6), window, stride=1, divisor_override=1
    )  # torch's own padding is limited to small volumes
    torch.testing.assert_close(box_sum(maps, window), theirs)
    assert torch.equal(maps, copy)


def test_box_sum_refuses_even_windows():
    with pytest.raises(ValueError, match="odd"):
        box_sum(torch.zeros(1, 1, 4, 4, 4), 2)


def test_a_bump_is_its_own_adjoint_and_keeps_a_constant():
    a, b = draw(3, 1), draw(3, 2)
    torch.testing.assert_close((bump(a) * b).sum(), (a * bump(b)).sum())
    assert torch.allclose(bump(torch.ones_like(a))[..., 2:-2, 2:-2, 2:-2], a.new_ones(()))


def literal_correlation(warped, fixed, weight, window):
    def mean(x):
        return F.avg_pool3d(x, window, stride=1, padding=window // 2, count_include_pad=False)

    covariance = mean(warped * fixed) - mean(warped) * mean(fixed)
    variances = [mean(x * x) - mean(x) ** 2 for x in (warped, fixed)]
    correlation = covariance**2 / (variances[0] * variances[1] + 1e-7)
    return (correlation * weight).sum() / weight.sum()


@pytest.mark.parametrize("window", [3, 5])
def test_local_correlation_and_its_gradient(window):
    fixed, warped, weight = draw(1, 1), draw(1, 2), (draw(1, 3) > 0.4).double()
    measure = LocalCorrelation(fixed, weight, window)
    expected = gradient(lambda w: literal_correlation(w, fixed, weight, window), warped)
    assert_both(measure.value_and_gradient(warped), expected)
    torch.testing.assert_close(measure(warped), expected[0])


def test_diffusion_and_its_gradient():
    displacement = draw(3, 4)
    expected = gradient(lambda u: sum(u.diff(dim=a).square().mean() for a in (2, 3, 4)) / 3, displacement)
    assert_both(diffusion(displacement), expected)


def literal_folding(displacement, margin):
    """The penalty voxel by voxel, from the differences towards each of two opposite corners."""
    total = 0
    voxels = displacement[0, 0].numel()
    for sign in (1, -1):
        for place in itertools.product(*(range(n) for n in displacement.shape[2:])):
            rows = []
            for axis in range(3):
                other = list(place)
                other[axis] += sign
                if not 0 <= other[axis] < displacement.shape[2 + axis]:
                    break
                step = torch.eye(3, dtype=displacement.dtype)[axis] * sign
                moved = displacement[(0, slice(None), *other)] - displacement[(0, slice(None), *place)]
                rows.append((moved + step) * sign)
            if len(rows) == 3:
                total = total + F.relu(margin - torch.linalg.det(torch.stack(rows))) / voxels
    return total


def test_folding_penalty_and_its_gradient():
    displacement = 3 * draw(3, 5, (5, 4, 6))
    penalty = FoldingPenalty(0.3, slack=50.0).watch(displacement)
    expected = gradient(lambda u: literal_folding(u, 0.3), displacement)
    assert expected[0] > 0.1
    assert_both(penalty.value_and_gradient(displacement), expected)


def test_what_is_watched_is_what_is_near_a_fold():
    displacement = torch.zeros(1, 3, 8, 9, 10, dtype=torch.float64)
    displacement[0, 1, 4, 5, 6] = -1.5
    penalty = FoldingPenalty(0.3).watch(displacement)
    value, slope = penalty.value_and_gradient(displacement)
    assert float(value) == pytest.approx(float(literal_folding(displacement, 0.3)))
    touched = slope[0].abs().sum(0).nonzero().tolist()
    assert [4, 5, 6] in touched and len(touched) < 12
    smooth = 0.2 * bump(draw(3, 6, (8, 9, 10)))
    assert float(FoldingPenalty(0.3).watch(smooth).value_and_gradient(smooth)[0]) == 0


def test_a_linearized_warp_is_the_warp_and_its_derivative():
    volume, displacement = draw(2, 7), 2 * draw(3, 8) - 0.9
    found = linearize_warp(volume, displacement, EVERYWHERE)
    torch.testing.assert_close(found.warped(displacement), warp(volume, displacement))
    change = 1e-7 * draw(3, 9)
    torch.testing.assert_close(
        found.warped(displacement + change), warp(volume, displacement + change), rtol=0, atol=1e-10
    )
    weight = draw(2, 10)
    _, expected = gradient(lambda u: (warp(volume, u) * weight).sum(), displacement)
    torch.testing.assert_close(found.pulled_back(weight), expected)


def test_a_linearized_warp_leaves_the_rest_of_the_volume_at_zero():
    volume, displacement = draw(1, 7), draw(3, 8)
    region = EVERYWHERE[5::3]
    found = linearize_warp(volume, displacement, region)
    part = found.warped(displacement).flatten()
    torch.testing.assert_close(part[region], warp(volume, displacement).flatten()[region])
    rest = torch.ones(len(EVERYWHERE), dtype=torch.bool)
    rest[region] = False
    assert not part[rest].any() and not found.pulled_back(volume)[0].flatten(1)[:, rest].any()


def literal_mind(image, place):
    """The descriptor of one voxel by loops over patches, with the border continued."""

    def value(*at):
        return image[tuple(np.clip(a, 0, n - 1) for a, n in zip(at, image.shape, strict=True))]

    distances = []
    for p, q in neighbor_pairs():
        total = 0.0
        for offset in itertools.product((-1, 0, 1), repeat=3):
            center = np.add(place, offset)
            if all(0 <= c < n for c, n in zip(center, image.shape, strict=True)):
                total += (value(*np.add(center, p)) - value(*np.add(center, q))) ** 2
        distances.append(total)
    distances = np.array(distances) - min(distances)
    return np.exp(-distances / max(distances.mean(), 1e-6))


def test_mind_against_loops():
    image = draw(1, 11)
    found = mind_ssc(image)
    assert found.shape == (1, CHANNELS, *SIZE)
    for place in [(0, 0, 0), (4, 3, 5), (8, 2, 10)]:
        np.testing.assert_allclose(
            found[(0, slice(None), *place)], literal_mind(image[0, 0].numpy(), place), rtol=1e-9
        )


def test_mind_does_not_see_the_contrast():
    image = draw(1, 12)
    torch.testing.assert_close(mind_ssc(1 - image), mind_ssc(image))
    torch.testing.assert_close(mind_ssc(0.3 + 0.5 * image), mind_ssc(image), rtol=1e-6, atol=1e-6)
    assert mind_ssc(torch.full_like(image, 0.4)).min() == 1


def test_feature_distance_and_its_gradient():
    fixed, warped, weight = draw(5, 1), draw(5, 2), (draw(1, 3) > 0.4).double()
    expected = gradient(
        lambda w: -4.0 * ((w - fixed).square().mean(1, keepdim=True) * weight).sum() / weight.sum(), warped
    )
    assert_both(FeatureDistance(fixed, weight, 4.0).value_and_gradient(warped), expected)
