"""The Triton kernels against torch's own operations: on a GPU, or else in Triton's interpreter."""

import pytest
import torch
from triton_tests import CUDA, DEVICE, needs_kernels, passed_in_the_interpreter, runs_the_interpreter

from SACBRegistrationLib.network import triton_support
from SACBRegistrationLib.network.adaptive_convolution import adaptive_convolution
from SACBRegistrationLib.network.matching import match
from SACBRegistrationLib.network.precision import Precision, using_precision

# Rounding of the output, relative to values of size 1.
_TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@runs_the_interpreter
def test_cuda_kernels_in_the_interpreter():
    assert passed_in_the_interpreter(__file__) >= 15


def features(shape, layout, seed, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last_3d)
    elif layout == "strided":
        # Of another axis order, and a view of something larger.
        x = torch.cat([x, x], dim=4).permute(0, 4, 1, 3, 2).contiguous().permute(0, 2, 4, 3, 1)
        x = x[..., : shape[4]]
    return x.to(DEVICE, dtype)


def problem(channels, c_out, clusters, shape, layout, dtype=torch.float32, batch=1):
    generator = torch.Generator().manual_seed(clusters)
    arguments = (
        torch.randn(c_out, channels, 27, generator=generator) / (27 * channels) ** 0.5,
        torch.randint(0, clusters, (batch, *shape), generator=generator),
        torch.rand(batch, clusters, 27, generator=generator),
        torch.randn(batch, clusters, c_out, generator=generator),
    )
    x = features((batch, channels, *shape), layout, 3, dtype)
    return x, *(a.to(DEVICE) for a in arguments)


def exact(arguments):
    x, weight, labels, gates, biases = arguments
    rounded = weight.to(x.dtype).double()
    return adaptive_convolution(x.double(), rounded, labels, gates.double(), biases.double())


@needs_kernels
@pytest.mark.parametrize("channels", [16, 32, 64])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_cuda_adaptive_convolution(channels, layout):
    from SACBRegistrationLib.network.triton_kernels import adaptive_convolution_triton

    arguments = problem(channels, channels, 7, (3, 5, 7), layout, batch=2)
    with torch.no_grad(), using_precision(Precision.FLOAT32, DEVICE):
        found = adaptive_convolution_triton(*arguments)
        plain = adaptive_convolution(*arguments)
    torch.testing.assert_close(found, plain, rtol=0, atol=_TOLERANCE[torch.float32])
    torch.testing.assert_close(found.double(), exact(arguments), rtol=0, atol=_TOLERANCE[torch.float32])
    last = found.is_contiguous(memory_format=torch.channels_last_3d)
    assert last == (layout == "channels_last") and found.shape == plain.shape


@needs_kernels
@pytest.mark.parametrize("clusters", [1, 32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (5, 4, 9)])
def test_cuda_any_number_of_clusters_on_small_grids(clusters, shape):
    from SACBRegistrationLib.network.triton_kernels import adaptive_convolution_triton

    # Neither is a power of two: some lanes of the kernel must stay out of it.
    arguments = problem(5, 19, clusters, shape, "channels_last")
    with torch.no_grad(), using_precision(Precision.FLOAT32, DEVICE):
        found = adaptive_convolution_triton(*arguments)
    torch.testing.assert_close(found.double(), exact(arguments), rtol=0, atol=_TOLERANCE[torch.float32])


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cuda_half_precision_sums_in_float32(dtype):
    from SACBRegistrationLib.network.triton_kernels import adaptive_convolution_triton, match_triton

    arguments = problem(64, 64, 5, (3, 4, 5), "channels_last", dtype)
    with torch.no_grad():
        # The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
        if CUDA or dtype == torch.float16:
            found = adaptive_convolution_triton(*arguments)
            assert found.dtype == dtype
            torch.testing.assert_close(found.double(), exact(arguments), rtol=0, atol=4 * _TOLERANCE[dtype])
        moving, fixed = (features((1, 64, 3, 4, 5), "channels_last", seed, dtype) for seed in (1, 2))
        flow = match_triton(moving, fixed)
    assert flow.dtype == torch.float32
    # The features are the same numbers, so that nothing is lost by their type.
    torch.testing.assert_close(flow.double(), match(moving.double(), fixed.double()), rtol=0, atol=2e-5)


@needs_kernels
@pytest.mark.parametrize(
    ("window", "layout"),
    [(1, "strided"), (3, "contiguous"), (3, "channels_last"), (3, "strided"), (5, "strided")],
)
def test_cuda_matching(window, layout):
    from SACBRegistrationLib.network.triton_kernels import match_triton

    shape = (2, 12, 5, 3, 7)
    moving, fixed = features(shape, layout, 5), features(shape, "channels_last", 6)
    with torch.no_grad():
        found = match_triton(moving, fixed, window)
        torch.testing.assert_close(found, match(moving, fixed, window), rtol=0, atol=3e-5)
        # Scores beyond what exp() holds in float32.
        window = min(window, 3)
        found, expected = (function(9 * moving, 9 * fixed, window) for function in (match_triton, match))
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-3)
    assert window == 1 or found.abs().max() > 0.9
    with pytest.raises(ValueError, match="odd"):
        match_triton(moving, fixed, 2)


@needs_kernels
def test_cuda_offsets_beyond_32_bits_are_computed_with_64():
    from SACBRegistrationLib.network import triton_kernels

    assert not triton_kernels._is_wide(torch.empty(2, 3, 4))
    assert triton_kernels._is_wide(torch.empty(2, 3, 4), torch.empty(2**31 + 1, device="meta"))
    arguments = problem(16, 16, 3, (3, 4, 5), "channels_last", batch=2)
    expected = triton_kernels.adaptive_convolution_triton(*arguments)
    flow = triton_kernels.match_triton(arguments[0], arguments[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_kernels, "_NARROW", 0)
        assert torch.equal(triton_kernels.adaptive_convolution_triton(*arguments), expected)
        assert torch.equal(triton_kernels.match_triton(arguments[0], arguments[0]), flow)


@needs_kernels
def test_cuda_the_trial_run_finds_the_kernels_right():
    assert triton_support.largest_difference(DEVICE) <= 1e-4


def test_without_a_gpu_the_kernels_are_not_taken():
    assert not triton_support.triton_usable(torch.device("cpu"))
    assert not triton_support.serves(torch.zeros(1, 16, 2, 2, 2))


@pytest.fixture
def pretended_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    triton_support._obstacle.cache_clear()
    yield
    triton_support._obstacle.cache_clear()


def test_what_keeps_the_kernels_from_running_is_logged_once(pretended_gpu, monkeypatch, caplog):
    def fail(device):
        raise RuntimeError("no compiler\nfound")

    monkeypatch.setattr(triton_support, "find_spec", lambda name: object())
    monkeypatch.setattr(triton_support, "largest_difference", fail)
    caplog.set_level("INFO", logger=triton_support.__name__)
    assert not triton_support.triton_usable(torch.device("cuda"))
    assert not triton_support.triton_usable(torch.device("cuda", 0))
    assert [record.getMessage() for record in caplog.records] == [
        "The network runs without Triton kernels: RuntimeError: no compiler found."
    ]


@pytest.mark.parametrize(("difference", "usable"), [(1e-5, True), (0.1, False), (float("nan"), False)])
def test_kernels_that_are_wrong_here_are_not_taken(pretended_gpu, monkeypatch, difference, usable):
    monkeypatch.setattr(triton_support, "find_spec", lambda name: object())
    monkeypatch.setattr(triton_support, "largest_difference", lambda device: difference)
    assert triton_support.triton_usable(torch.device("cuda")) is usable


def test_the_environment_switches_the_kernels_off(pretended_gpu, monkeypatch):
    monkeypatch.setenv(triton_support.SWITCH, "0")
    monkeypatch.setattr(triton_support, "largest_difference", lambda device: 0.0)
    assert not triton_support.triton_usable(torch.device("cuda"))
