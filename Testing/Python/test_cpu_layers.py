"""The layers for large volumes on a CPU against torch's own, and warping in slabs against warping at once."""

import pytest
import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import cpu_layers, flow
from SACBRegistrationLib.network.layers import ConvBlock, consume

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


@pytest.mark.parametrize("channels", [3, 8, 16])
@pytest.mark.parametrize("shape", [LARGE, (35, 31, 33)])
def test_normalisation(channels, shape):
    x = 5 * random(2, channels, *shape) + torch.arange(channels).view(-1, 1, 1, 1)
    expected = F.leaky_relu(F.instance_norm(x.double(), eps=1e-5), 0.1)
    last = x.contiguous(memory_format=torch.channels_last_3d)
    found = cpu_layers.normalize_and_activate_(last, 1e-5, 0.1)
    assert found.data_ptr() == last.data_ptr()
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-6)


def test_a_constant_volume_becomes_zero():
    x = torch.full((1, 4, *LARGE), 7.0).contiguous(memory_format=torch.channels_last_3d)
    assert float(cpu_layers.normalize_and_activate_(x, 1e-5, 0.1).abs().max()) < 1e-3


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
        halves = list(x.chunk(2, dim=1))
        torch.testing.assert_close(block.forward_halves(halves), expected, rtol=0, atol=2e-5)
        volumes = [x]
        torch.testing.assert_close(consume([block], volumes), expected, rtol=0, atol=2e-5)
    assert halves == [] and volumes == []


@pytest.mark.parametrize("shape", [(12, 10, 14), (7, 9, 8), (1, 5, 6)])
@pytest.mark.parametrize("values", [1, 600, 2**22])
def test_warping_in_slabs(shape, values, monkeypatch):
    volume, displacement = random(2, 3, *shape), 2 * random(2, 3, *shape, seed=5)
    expected = flow.warp(volume, displacement.requires_grad_()).detach()
    monkeypatch.setattr(flow, "_SLAB_VALUES", values)
    with torch.no_grad():
        found = flow.warp(volume, displacement)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        last = flow.warp(volume.contiguous(memory_format=torch.channels_last_3d), displacement)
        torch.testing.assert_close(last, expected, rtol=0, atol=1e-6)
