"""Layers of the full resolution in slabs against the same layers on the whole volume."""

import pytest
import torch
from torch import nn

from SACBRegistrationLib.network.encoder import Encoder
from SACBRegistrationLib.network.flow import compose, warp
from SACBRegistrationLib.network.layers import ConvBlock
from SACBRegistrationLib.network.sacb_net import FinalFlow
from SACBRegistrationLib.network.slab_sources import Joined, Stored, Warped
from SACBRegistrationLib.network.slabs import (
    SlabSettings,
    convolve_block,
    evaluate,
    final_displacement,
    halve,
)

SIDES = (14, 10, 12)
BATCH = 2
SETTINGS = [SlabSettings(planes=planes, keep=keep) for planes in (1, 4, 5, 14, 99) for keep in (False, True)]
each_way = pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.planes}{'-kept' * s.keep}")


def draw(channels, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(BATCH, channels, *SIDES, generator=generator, dtype=torch.float64)


def in_double(module):
    torch.manual_seed(5)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double().requires_grad_(False)


@each_way
def test_encoder_stage(settings):
    stage = in_double(Encoder()).stages[0]
    image = draw(1, 1) * torch.linspace(1, 30, SIDES[0], dtype=torch.float64)[:, None, None] + 40
    expected, source = image, Stored(image)
    for block in stage:
        expected = block(expected)
        source = convolve_block(block, source, settings)
    # The statistics are handed on as float32.
    assert source.shape == expected.shape
    pooled = nn.functional.avg_pool3d(expected, 2)
    torch.testing.assert_close(halve(source, settings), pooled, rtol=0, atol=2e-5)
    torch.testing.assert_close(evaluate(source, settings), expected, rtol=0, atol=2e-5)


@each_way
def test_final_flow(settings):
    final = in_double(FinalFlow())
    fixed, moving, flow = draw(8, 2), draw(8, 3), draw(3, 4, scale=1.5)
    refined = [final.refine(fixed), final.refine(warp(moving, flow))]
    expected = compose(flow, final.estimate(torch.cat(refined, dim=1)))
    features = {"fixed": Stored(fixed), "moving": Warped(moving, flow)}
    found = final_displacement(final.refine, final.estimate, features, flow, settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    assert expected.abs().max() > 2 and not features


@each_way
def test_a_slab_of_a_warp_is_the_slab_of_the_whole(settings):
    volume, flow = draw(4, 6), draw(3, 7, scale=3.0)
    torch.testing.assert_close(
        evaluate(Warped(volume, flow), settings), warp(volume, flow), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("keep", [False, True])
def test_statistics_do_not_lose_a_small_contrast_on_a_large_mean(keep):
    block = ConvBlock(1, 2)
    nn.init.constant_(block.conv.weight, 1 / 27)
    nn.init.zeros_(block.conv.bias)
    # Its variance is a millionth of its squared mean.
    image = 1000 + draw(1, 8)[:, :, :, 1:-1].float()
    settings = SlabSettings(planes=3, keep=keep)
    with torch.no_grad():
        found = evaluate(convolve_block(block, Stored(image), settings), settings)
        expected = block.double()(image.double())
    inner = (slice(None), slice(None), *[slice(1, -1)] * 3)
    torch.testing.assert_close(found.double()[inner], expected[inner], rtol=0, atol=2e-3)


def test_only_slabs_lie_in_memory():
    """A slab's neighbours are read once per convolution, and nothing else is."""
    seen = []

    class Watched(Stored):
        def read(self, start, stop):
            seen.append((start, stop))
            return super().read(start, stop)

    settings = SlabSettings(planes=4, keep=False)
    source = Watched(draw(1, 9).float())
    with torch.no_grad():
        first = convolve_block(ConvBlock(1, 4), source, settings)
        assert seen == [(0, 5), (3, 9), (7, 13), (11, 14)]
        seen.clear()
        convolve_block(ConvBlock(4, 8), first, settings)
    assert seen == [(0, 6), (2, 10), (6, 14), (10, 14)]


def test_channels_of_both_images_are_joined_in_order():
    fixed, moving = draw(2, 10), draw(3, 11)
    joined = Joined(Stored(fixed), Stored(moving))
    assert joined.shape == (BATCH, 5, *SIDES)
    assert torch.equal(joined.read(3, 6), torch.cat([fixed, moving], dim=1)[:, :, 3:6])


def test_half_precision_keeps_its_type_and_statistics_in_float32():
    block = ConvBlock(2, 4).to(torch.bfloat16)
    x = (draw(2, 12) + 20).bfloat16()
    settings = SlabSettings(planes=4)
    with torch.no_grad():
        found = evaluate(convolve_block(block, Stored(x), settings), settings)
    assert found.dtype == torch.bfloat16
    values = found.float()[..., 1:-1, 1:-1, 1:-1]
    assert values.isfinite().all() and 0.3 < values.std() < 1.2


def test_every_slab_is_reported():
    reports = []
    settings = SlabSettings(planes=4, report=lambda: reports.append(1))
    with torch.no_grad():
        evaluate(convolve_block(ConvBlock(1, 4), Stored(draw(1, 13).float()), settings), settings)
    assert len(reports) == 8
