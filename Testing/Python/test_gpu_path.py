"""What the network does on a GPU, as far as it can be seen without one."""

import sys
from types import SimpleNamespace

import pytest
import torch
from shared_data import REPOSITORY
from torch.nn import functional as F

from SACBRegistrationLib.network import (
    KMeansSettings,
    SACBNet,
    adaptive_convolution,
    device_layers,
    matching,
    triton_support,
)
from SACBRegistrationLib.network.layers import NEGATIVE_SLOPE, NORM_EPS
from SACBRegistrationLib.network.memory import WAYS, Way, slab_settings
from SACBRegistrationLib.network.precision import Precision, using_precision

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SIZE = (32, 48, 64)
KERNELS = "SACBRegistrationLib.network.triton_kernels"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def problem():
    generator = torch.Generator().manual_seed(3)
    return (
        draw(2, 6, 7, 5, 4),
        draw(9, 6, 27, seed=1) / 12,
        torch.randint(0, 3, (2, 7, 5, 4), generator=generator),
        torch.rand(2, 3, 27, generator=generator),
        draw(2, 3, 9, seed=2),
    )


@pytest.mark.parametrize("feature_mean", ["spatial", "mixed"])
@pytest.mark.parametrize("way", WAYS)
def test_a_forward_pass_depends_on_no_value(way, feature_mean):
    """A tensor without data raises wherever the host would have to know a value, and so wait for the GPU."""
    kmeans = KMeansSettings(max_steps=3)
    network = SACBNet(feature_mean=feature_mean, matching_window=5, kmeans=kmeans).eval().to("meta")
    network.slabs = slab_settings(way)
    images = (torch.empty(1, 1, *SIZE, device="meta") for _ in range(2))
    with torch.inference_mode():
        result = network(*images)
    assert result.displacement.shape == (1, 3, *SIZE) and result.displacement.device.type == "meta"
    with pytest.raises(Exception, match="meta"):
        float(result.displacement.sum())


@pytest.mark.parametrize("values", [1, 10_000, 2**25])
def test_slabs_of_the_plain_path_agree_with_the_tiles(values, monkeypatch):
    monkeypatch.setattr(matching, "_SLAB_VALUES", values)
    x, weight, labels, gates, biases = problem()
    with torch.no_grad():
        expected = adaptive_convolution.adaptive_convolution(x, weight, labels, gates, biases)
        for sample in range(2):
            found = adaptive_convolution._convolve_in_slabs(
                F.pad(x[sample], [1] * 6), weight, labels[sample], gates[sample], biases[sample]
            )
            torch.testing.assert_close(found, expected[sample], rtol=0, atol=1e-5)
        for window in (1, 3, 5):
            pad = window // 2
            flow = matching._match_in_slabs(F.pad(x, [pad] * 6), x.flip(2), matching.window_offsets(window))
            torch.testing.assert_close(flow, matching.match(x, x.flip(2), window), rtol=0, atol=1e-5)
            assert window == 1 or flow.abs().max() > 0.1


def test_kernels_are_taken_where_they_serve(monkeypatch):
    calls = []
    fake = SimpleNamespace(
        adaptive_convolution_triton=lambda *a: calls.append(("convolution", *a)) or "convolved",
        match_triton=lambda *a: calls.append(("match", *a)) or "matched",
    )
    monkeypatch.setitem(sys.modules, KERNELS, fake)
    monkeypatch.setattr(triton_support, "triton_usable", lambda device: True)
    arguments = problem()
    with torch.no_grad():
        assert adaptive_convolution.adaptive_convolution(*arguments) == "convolved"
        assert matching.match(arguments[0], arguments[0], 5) == "matched"
        assert [len(call) for call in calls] == [6, 4] and calls[1][-1] == 5
        # Of float64 they know nothing.
        double = tuple(a.double() if a.is_floating_point() else a for a in arguments)
        assert adaptive_convolution.adaptive_convolution(*double).dtype == torch.float64
    # Gradients take the plain path.
    assert matching.match(arguments[0], arguments[0]).shape == (2, 3, 7, 5, 4)
    assert len(calls) == 2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_normalisation_in_place(layout, offset):
    x = (3 * draw(2, 5, 6, 7, 8) + offset).contiguous(memory_format=layout)
    expected = F.leaky_relu(F.instance_norm(x.double(), eps=NORM_EPS), NEGATIVE_SLOPE)
    given = x.clone(memory_format=torch.preserve_format)
    found = device_layers.normalize_and_activate_(given, NORM_EPS, NEGATIVE_SLOPE)
    assert found is given and found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_normalisation_of_halves_sums_in_float32(dtype, rounding):
    # More voxels than a half can count.
    x = (draw(1, 3, 40, 50, 60) + 2).to(dtype)
    expected = F.leaky_relu(F.instance_norm(x.double(), eps=NORM_EPS), NEGATIVE_SLOPE)
    found = device_layers.normalize_and_activate_(x, NORM_EPS, NEGATIVE_SLOPE)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=rounding, atol=rounding)


def test_constant_channels_stay_finite():
    x = torch.full((1, 2, 4, 4, 4), 7.0)
    assert device_layers.normalize_and_activate_(x, NORM_EPS, NEGATIVE_SLOPE).abs().max() < 1e-3


@pytest.mark.parametrize("way", [Way.WHOLE, Way.SLABS])
def test_flows_stay_float32_with_half_features(way):
    """A CPU's autocast stands for the GPU's: only the features may be rounded."""
    torch.manual_seed(2)
    network = SACBNet(clusters=3, kmeans=KMeansSettings(max_steps=5)).eval()
    network.slabs = slab_settings(way)
    images = [F.interpolate(draw(1, 1, 4, 4, 4, seed=s), (32, 16, 32), mode="trilinear") for s in (1, 2)]
    with torch.inference_mode():
        exact = network(*images)
        with using_precision(Precision.BFLOAT16, torch.device("cpu")):
            found = network(*images)
            given = network(*images, contexts=exact.contexts)
    assert found.displacement.dtype == torch.float32
    assert all(flow.dtype == torch.float32 for flow in (*found.subflows.values(), *found.incoming.values()))
    assert all(context.centroids.dtype == torch.float32 for context in found.contexts.values())
    # Flows that were rounded to bfloat16 would have 8 bits.
    for flow in (given.displacement, *given.subflows.values()):
        assert (flow.bfloat16().float() != flow).float().mean() > 0.5
    assert 0 < (given.displacement - exact.displacement).abs().mean() < 0.5


def test_a_forward_pass_is_few_launches(monkeypatch):
    """Each takes the host microseconds, which add up to more than a fast GPU's work."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "Testing" / "Benchmarks"))
    from launch_count import launches

    without_steps, one, two = (launches(SIZE, steps, triton=True) for steps in (0, 1, 2))
    assert 500 < without_steps < 1500
    # Of each of the eight clusterings in torch's own operations; the kernels take two.
    assert one - without_steps == two - one <= 8 * 30


@needs_cuda
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("way", WAYS)
def test_cuda_forward_pass_never_waits(way, precision):
    torch.manual_seed(2)
    network = SACBNet().eval().cuda()
    network.slabs = slab_settings(way)
    images = [F.interpolate(draw(1, 1, 4, 4, 4, seed=s), SIZE, mode="trilinear").cuda() for s in (1, 2)]
    with torch.inference_mode(), using_precision(precision, torch.device("cuda")):
        expected = network(*images).displacement
        torch.cuda.synchronize()
        former = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = network(*images).displacement
        finally:
            torch.cuda.set_sync_debug_mode(former)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


@needs_cuda
def test_cuda_agrees_with_the_cpu():
    torch.manual_seed(2)
    network = SACBNet().eval()
    images = [F.interpolate(draw(1, 1, 4, 4, 4, seed=s), SIZE, mode="trilinear") for s in (1, 2)]
    with torch.inference_mode():
        expected = network(*images)
        network.cuda()
        contexts = {
            key: type(context)(context.labels.cuda(), context.centroids.cuda())
            for key, context in expected.contexts.items()
        }
        for way in WAYS:
            network.slabs = slab_settings(way)
            with using_precision(Precision.FLOAT32, torch.device("cuda")):
                found = network(*(image.cuda() for image in images), contexts=contexts)
            away = (found.displacement.cpu() - expected.displacement).abs().flatten().sort().values
            assert away[int(0.999 * len(away))] < 3e-3 and away[-1] < 5e-2
