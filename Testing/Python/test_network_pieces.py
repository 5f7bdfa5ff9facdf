"""Every piece of the network against the reference, and the warp against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from reference_sacb_net import compose as reference_compose
from reference_sacb_net import context_vectors as reference_context_vectors
from reference_sacb_net import lloyd, spatial_awareness_convolution
from reference_sacb_net import match as reference_match
from reference_sacb_net import upsample as reference_upsample
from reference_sacb_net import warp as reference_warp

from SACBRegistrationLib.network import adaptive_convolution as adaptive
from SACBRegistrationLib.network import matching
from SACBRegistrationLib.network.adaptive_convolution import adaptive_convolution
from SACBRegistrationLib.network.flow import compose, upsample, warp
from SACBRegistrationLib.network.matching import match
from SACBRegistrationLib.network.spatial_awareness import context_vectors


def test_adaptive_convolution(monkeypatch):
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(2, 3, 7, 5, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 27, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 7, 5, 6), generator=generator)
    gates = torch.rand(2, 3, 27, generator=generator, dtype=torch.float64)
    biases = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    expected = torch.stack(
        [spatial_awareness_convolution(features[b], labels[b], weight, gates[b], biases[b]) for b in range(2)]
    )
    torch.testing.assert_close(adaptive_convolution(features, weight, labels, gates, biases), expected)
    for rows in (0, 1, 3, 5):
        monkeypatch.setattr(adaptive, "_TILE_VALUES", rows * 3 * 27 * 6)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            with torch.no_grad():
                tiles = adaptive_convolution(
                    features.contiguous(memory_format=layout), weight, labels, gates, biases
                )
            torch.testing.assert_close(tiles, expected)
    arguments = [t.requires_grad_() for t in (features, weight, gates, biases)]
    assert torch.autograd.gradcheck(
        lambda f, w, g, b: adaptive_convolution(
            f[:1, :, :3, :2, :2], w, labels[:1, :3, :2, :2], g[:1], b[:1]
        ),
        arguments,
        fast_mode=True,
    )


@pytest.mark.parametrize("window", [1, 3, 5])
def test_matching(window, monkeypatch):
    generator = torch.Generator().manual_seed(6)
    moving, fixed = (torch.randn(2, 4, 5, 6, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = torch.stack([reference_match(m, f, window) for m, f in zip(moving, fixed, strict=True)])
    torch.testing.assert_close(match(moving, fixed, window), expected)
    for rows in (1, 4, 6):
        monkeypatch.setattr(matching, "_TILE_VALUES", rows * 4 * window**3 * 7)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            with torch.no_grad():
                tiles = match(moving.contiguous(memory_format=layout), fixed, window)
            torch.testing.assert_close(tiles, expected)


def test_matching_finds_a_known_shift():
    # Of one length, since the score is no correlation: a longer vector would win over the same one.
    fixed = torch.randn(1, 8, 6, 7, 8, generator=torch.Generator().manual_seed(8))
    fixed = 15 * fixed / fixed.norm(dim=1, keepdim=True)
    moving = fixed.roll((1, -1, 2), dims=(2, 3, 4))
    inner = (0, slice(None), slice(2, -2), slice(2, -2), slice(2, -2))
    found = match(moving, fixed, 5)[inner]
    expected = torch.tensor([1.0, -1.0, 2.0])[:, None, None, None].expand_as(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("feature_mean", ["spatial", "channel", "mixed"])
@pytest.mark.parametrize("sides", [(4, 5, 6), (1, 2, 3)])
def test_context_vectors(feature_mean, sides):
    x = torch.randn(1, 5, *sides, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    found = context_vectors(x, feature_mean)
    torch.testing.assert_close(
        found.reshape(-1, found.shape[-1]), reference_context_vectors(x[0], feature_mean)
    )


def random_flow(sides, scale, seed=11):
    flow = torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scale * flow


def test_flow_operations_agree():
    sides = (5, 6, 7)
    flow, delta = random_flow(sides, 2.0), random_flow(sides, 0.7, seed=12)
    volume = torch.rand(1, 2, *sides, generator=torch.Generator().manual_seed(13), dtype=torch.float64)
    torch.testing.assert_close(warp(volume, flow)[0], reference_warp(volume[0], flow[0]))
    torch.testing.assert_close(compose(flow, delta)[0], reference_compose(flow[0], delta[0]))
    torch.testing.assert_close(upsample(flow)[0], reference_upsample(flow[0]))
    thin = random_flow((1, 2, 3), 1.0)
    torch.testing.assert_close(upsample(thin)[0], reference_upsample(thin[0]))


@pytest.mark.parametrize("function", [warp, lambda x, f: reference_warp(x[0], f[0])[None]])
def test_warp_agrees_with_simpleitk(function):
    sides = (9, 10, 12)
    volume = torch.rand(1, 1, *sides, generator=torch.Generator().manual_seed(14), dtype=torch.float64)
    flow = random_flow(sides, 1.5)
    image = sitk.GetImageFromArray(volume[0, 0].numpy().transpose(2, 1, 0))
    field = sitk.GetImageFromArray(np.ascontiguousarray(flow[0].numpy().transpose(3, 2, 1, 0)), isVector=True)
    transform = sitk.DisplacementFieldTransform(sitk.Image(field))
    expected = sitk.GetArrayFromImage(sitk.Resample(image, transform, sitk.sitkLinear, 0.0)).transpose(
        2, 1, 0
    )
    identity = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"))
    reached = identity + flow[0].numpy()
    # SimpleITK extends the border by half a voxel, where the network fades to zero.
    inside = np.all((reached >= 0) & (reached <= np.array(sides).reshape(3, 1, 1, 1) - 1), axis=0)
    far = np.any((reached <= -1) | (reached >= np.array(sides).reshape(3, 1, 1, 1)), axis=0)
    found = function(volume, flow)[0, 0].numpy()
    assert 0.2 < inside.mean() < 0.9 and far.any()
    assert np.abs(found - expected)[inside].max() <= 1e-6
    assert np.abs(found)[far].max() == 0


def test_composition_is_one_warp_after_the_other():
    sides = (24, 24, 24)
    axes = torch.meshgrid(*[torch.arange(24, dtype=torch.float64) for _ in range(3)], indexing="ij")
    volume = sum(axes)[None, None] + 2.0
    flow = torch.stack([torch.sin(a / 5) for a in axes])[None]
    delta = torch.stack([torch.cos(a / 6) for a in axes[::-1]])[None]
    inner = (..., slice(3, -3), slice(3, -3), slice(3, -3))
    assert volume.shape[2:] == sides
    twice, once = warp(warp(volume, flow), delta), warp(volume, compose(flow, delta))
    torch.testing.assert_close(twice[inner], once[inner], rtol=0, atol=1e-10)


def test_reference_kmeans_finds_clear_groups():
    generator = torch.Generator().manual_seed(15)
    groups = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    vectors = (groups[:, None] + 0.1 * torch.randn(3, 50, 2, generator=generator)).reshape(-1, 2)
    labels, centroids, _ = lloyd(vectors, vectors[[0, 50, 100]])
    assert torch.equal(labels, torch.arange(3).repeat_interleave(50))
    torch.testing.assert_close(centroids, groups, rtol=0, atol=0.1)
