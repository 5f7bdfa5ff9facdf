"""The rounding that stands in for a GPU's precisions."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))

from precision_effect import effect, rounded, rounding

from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.network.precision import Precision

FRACTION_BITS = {Precision.TF32: 10, Precision.BFLOAT16: 7, Precision.FLOAT16: 10}


@pytest.mark.parametrize("precision", FRACTION_BITS)
def test_values_go_to_the_nearest_of_their_precision(precision):
    x = torch.randn(4000, generator=torch.Generator().manual_seed(1))
    # Independent of any type's own conversion: scale each value to whole steps of its binade.
    step = 2.0 ** (np.floor(np.log2(np.abs(x.double().numpy()))) - FRACTION_BITS[precision])
    expected = np.round(x.double().numpy() / step) * step
    within = np.abs(x.numpy()) > 1e-3
    np.testing.assert_array_equal(rounded(x, precision).double().numpy()[within], expected[within])


@pytest.mark.parametrize("precision", FRACTION_BITS)
def test_products_are_rounded_and_sums_are_not(precision):
    x, weight = torch.randn(1, 4, 6, 7, 8), torch.randn(5, 4, 3, 3, 3)
    with torch.inference_mode(), rounding(precision) as mode:
        found, total = F.conv3d(x, weight), x + x * 1e-4
    expected = F.conv3d(rounded(x, precision), rounded(weight, precision))
    if precision is not Precision.TF32:
        expected = rounded(expected, precision)
    # Another summation order may turn a half's last bit.
    torch.testing.assert_close(found, expected, rtol=1e-5 if precision is Precision.TF32 else 8e-3, atol=1e-4)
    assert mode.count == 1 and not torch.equal(found, F.conv3d(x, weight))
    torch.testing.assert_close(total, x + x * 1e-4, rtol=0, atol=0)


def test_coarser_products_move_phi_further():
    torch.manual_seed(3)
    network = SACBNet(clusters=3).eval()
    images = torch.rand(2, 1, 1, 32, 48, 32)
    with torch.inference_mode():
        expected = network(*images)
    tf32, bfloat16 = (effect(network, images, p, expected) for p in (Precision.TF32, Precision.BFLOAT16))
    assert all(0 < fine < coarse < 10 for fine, coarse in zip(tf32[:2], bfloat16[:2], strict=True))
    assert all(mean <= largest for mean, largest in (tf32[:2], tf32[2:], bfloat16[:2], bfloat16[2:]))
