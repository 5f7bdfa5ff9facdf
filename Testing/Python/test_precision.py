"""Number types of the network's arithmetic."""

import pytest
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.precision import (
    PRECISIONS,
    Precision,
    check_precision,
    tf32_products,
    using_precision,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def tf32_settings():
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(convolutions, "conv"):
        return convolutions.conv.fp32_precision, products.fp32_precision
    return convolutions.allow_tf32, products.allow_tf32


@pytest.mark.parametrize("name", [name for name in PRECISIONS if name != "float32"])
def test_a_cpu_computes_in_float32_alone(name):
    assert check_precision("float32", CPU) is Precision.FLOAT32
    with pytest.raises(UserError, match=f"^The precision {name} needs a GPU .* choose --precision float32.$"):
        check_precision(name, CPU)


@pytest.mark.parametrize(
    ("capability", "supported"),
    [((6, 1), {"float32"}), ((7, 5), {"float32", "float16"}), ((8, 6), set(PRECISIONS))],
)
def test_a_card_computes_in_what_it_supports(monkeypatch, capability, supported):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some Card")
    for name in PRECISIONS:
        if name in supported:
            assert check_precision(name, CUDA).value == name
        else:
            with pytest.raises(UserError, match=f"^The GPU Some Card does not support the precision {name};"):
                check_precision(name, CUDA)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match=r'^The precision "double" is unknown; choose one of float32, tf32'):
        check_precision("double", CPU)


@pytest.mark.parametrize("precision", Precision)
def test_torch_is_left_as_it_was(precision):
    former = tf32_settings()
    with using_precision(precision, CPU):
        assert tf32_products() is (precision is Precision.TF32)
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(
        precision.value, torch.float32
    )
    assert tf32_settings() == former
    with pytest.raises(RuntimeError, match="inside"), using_precision(precision, CPU):
        raise RuntimeError("inside")
    assert tf32_settings() == former
    assert not torch.is_autocast_enabled("cpu")


def test_float32_holds_inside_an_autocast_of_the_caller():
    with torch.autocast("cpu", dtype=torch.bfloat16), using_precision(Precision.FLOAT32, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
