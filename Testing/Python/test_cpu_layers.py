"""The layers for large volumes on a CPU against torch's own, and warping in slabs against warping at once."""

import pytest
import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import cpu_blocks, cpu_layers, cpu_sampling, flow
from SACBRegistrationLib.network.layers import ConvBlock, apply_blocks, consume

LARGE = (34, 32, 36)


def random(*shape, seed=1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 4), (4, 8), (8, 8), (16, 8), (8, 3), (16, 16), (32, 64)])
@pytest.mark.parametrize("shape", [LARGE, (9, 20, 44), (6, 5, 7)])
def test_convolution(inputs, outputs, shape):
    x = random(2, inputs, *shape)
    weight, bias = random(outputs, inputs, 3, 3, 3, seed=2), random(outputs, seed=3)
    expected = F.conv3d(x.double(), weight.double(), bias.double(), padding=1)
    found = cpu_layers.convolve(x, weight, bias)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-4)
    without = cpu_layers.convolve(x, weight, None)
    torch.testing.assert_close(found - without, bias.view(-1, 1, 1, 1).expand_as(found), rtol=0, atol=1e-4)


NORMALIZATION = cpu_blocks.Normalization(1e-5, 0.1)


def last(x):
    return x.contiguous(memory_format=torch.channels_last_3d)


def unchanging(channels):
    """A kernel and biases that leave a volume as it is."""
    weight = torch.zeros(channels, channels, 3, 3, 3)
    weight[..., 1, 1, 1] = torch.eye(channels)
    return weight, torch.zeros(channels)


@pytest.mark.parametrize("channels", [3, 8, 16])
@pytest.mark.parametrize("shape", [LARGE, (35, 31, 33)])
def test_normalisation(channels, shape):
    x = 5 * random(2, channels, *shape) + torch.arange(channels).view(-1, 1, 1, 1)
    expected = F.leaky_relu(F.instance_norm(x.double(), eps=1e-5), 0.1)
    found = cpu_blocks.apply_blocks([last(x)], [unchanging(channels)], NORMALIZATION, overwrite=False)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-6)


def test_a_constant_volume_becomes_zero():
    x = last(torch.full((1, 4, *LARGE), 7.0))
    found = cpu_blocks.apply_blocks([x], [unchanging(4)], NORMALIZATION, overwrite=False)
    assert float(found.abs().max()) < 1e-3


@pytest.mark.parametrize("values", [1, 40_000, 2**21])
@pytest.mark.parametrize("depth", [1, 2, 3, 34])
def test_blocks_a_few_planes_at_a_time(values, depth, monkeypatch):
    monkeypatch.setattr(cpu_blocks, "_SLAB_VALUES", values)
    blocks = [ConvBlock(4, 8), ConvBlock(8, 8), ConvBlock(8, 8)]
    x = random(1, 4, depth, 32, 36)
    before = x.clone()
    kernels = [(block.conv.weight, block.conv.bias) for block in blocks]
    expected = x
    for block in blocks:
        expected = block(expected).detach()
    with torch.no_grad():
        found = cpu_blocks.apply_blocks([x], kernels, NORMALIZATION, overwrite=False)
        torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
        assert torch.equal(x, before)
        # Twice the same arithmetic, over what it was made of.
        source = last(expected)
        again = cpu_blocks.apply_blocks([source], kernels[1:], NORMALIZATION, overwrite=True)
        assert again.data_ptr() == source.data_ptr()
    torch.testing.assert_close(again, blocks[2](blocks[1](expected)).detach(), rtol=0, atol=5e-5)


@pytest.mark.parametrize("shape", [LARGE, (2, 4, 6)])
def test_halving_is_rounded_as_torch_does(shape):
    x = random(2, 5, *shape)
    assert torch.equal(cpu_layers.halve(last(x)), F.avg_pool3d(x, 2))


def test_used_for_large_volumes_without_gradients_only():
    large, small = torch.zeros(1, 4, *LARGE), torch.zeros(1, 4, 8, 8, 8)
    assert not cpu_layers.is_worth_it(large)
    with torch.no_grad():
        assert cpu_layers.is_worth_it(large)
        assert not cpu_layers.is_worth_it(small) and not cpu_layers.is_worth_it(large.double())


def test_a_block_gives_the_same_either_way():
    block, x = ConvBlock(16, 8), random(1, 16, *LARGE)
    expected = block(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected, rtol=0, atol=2e-5)
        torch.testing.assert_close(apply_blocks([block], x), expected, rtol=0, atol=2e-5)
        halves = [last(half) for half in x.chunk(2, dim=1)]
        torch.testing.assert_close(block.forward_halves(halves), expected, rtol=0, atol=2e-5)
        volumes = [x]
        torch.testing.assert_close(consume([block], volumes), expected, rtol=0, atol=2e-5)
    assert halves == [] and volumes == []


@pytest.mark.parametrize("shape", [(12, 10, 14), (7, 9, 8), (1, 5, 6)])
@pytest.mark.parametrize("values", [1, 600, 2**22])
@pytest.mark.parametrize("bags", [True, False])
def test_warping_in_slabs(shape, values, bags, monkeypatch):
    volume, displacement = random(2, 3, *shape), 2 * random(2, 3, *shape, seed=5)
    expected = flow.warp(volume, displacement.requires_grad_()).detach()
    monkeypatch.setattr(flow, "_SLAB_VALUES", values)
    monkeypatch.setattr(cpu_sampling, "is_worth_it", lambda volume: bags)
    with torch.no_grad():
        for given in (volume, last(volume)):
            found = flow.warp(given, displacement)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
            assert found.stride() == given.stride()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_flow_that_leads_nowhere_reads_nothing(value):
    displacement = torch.zeros(1, 3, 6, 5, 4)
    displacement[0, 1, 2, 3, 1] = value
    with torch.no_grad():
        found = flow.warp(torch.ones(1, 4, 6, 5, 4), displacement)
    there = found[0, :, 2, 3, 1]
    assert there.isnan().all() if value != value else (there == 0).all()
    assert int((found == 1).sum()) == 4 * (6 * 5 * 4 - 1)
