"""Number types of the network's arithmetic on a GPU."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum

import torch

from SACBRegistrationLib.errors import UserError


class Precision(str, Enum):
    """How products are rounded; sums, statistics and flows are float32 with every one of them."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


PRECISIONS = tuple(precision.value for precision in Precision)

_AUTOCAST = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}
_CAPABILITY = {Precision.TF32: (8, 0), Precision.BFLOAT16: (8, 0), Precision.FLOAT16: (7, 0)}


def check_precision(name: str, device: torch.device) -> Precision:
    """Returns the precision of this name.

    Args:
        name: One of PRECISIONS.
        device: Where the network is to run.

    Raises:
        UserError: When the name is unknown or the device does not support it.
    """
    if name not in PRECISIONS:
        raise UserError(f'The precision "{name}" is unknown; choose one of {", ".join(PRECISIONS)}.')
    precision = Precision(name)
    if precision is Precision.FLOAT32:
        return precision
    if device.type != "cuda":
        raise UserError(
            f"The precision {name} needs a GPU and this run computes on the CPU; choose --precision float32."
        )
    if torch.cuda.get_device_capability(device) < _CAPABILITY[precision]:
        raise UserError(
            f"The GPU {torch.cuda.get_device_name(device)} does not support the precision {name}; choose "
            "--precision float32."
        )
    return precision


@contextmanager
def using_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Computes with this precision while the block runs, and leaves torch's settings as they were.

    Args:
        precision: The precision; TF32 has no effect on a CPU.
        device: Where the block computes.
    """
    settings = _tf32_settings()
    former = [getattr(owner, name) for owner, name, _ in settings]
    for owner, name, values in settings:
        # torch's own default rounds convolutions to TF32, which float32 must not do.
        setattr(owner, name, values[precision is Precision.TF32])
    try:
        dtype = _AUTOCAST.get(precision)
        # Entered in float32, too: a caller's autocast would round what is to be float32.
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            yield
    finally:
        for (owner, name, _), value in zip(settings, former, strict=True):
            setattr(owner, name, value)


def without_autocast(device_type: str) -> AbstractContextManager:
    """Returns a context in which nothing is rounded to half precision, whatever the caller chose.

    Args:
        device_type: Of the tensors inside.
    """
    # Other devices, such as the one without data, know no autocast.
    return torch.autocast(device_type, enabled=False) if device_type in ("cpu", "cuda") else nullcontext()


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Returns a tensor of half precision as float32, any other as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def tf32_products() -> bool:
    """Returns whether torch rounds the factors of float32 matrix products to TF32."""
    owner, name, (_, allowed) = _tf32_settings()[-1]
    return getattr(owner, name) == allowed


def _tf32_settings() -> list[tuple[object, str, tuple]]:
    """Returns where torch keeps whether TF32 is allowed, with the values for no and yes; products last."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv") and hasattr(matmul, "fp32_precision"):
        # From torch 2.9 on, where mixing both ways of setting is an error.
        owners, name, values = (cudnn.conv, matmul), "fp32_precision", ("ieee", "tf32")
    else:
        owners, name, values = (cudnn, matmul), "allow_tf32", (False, True)
    return [(owner, name, values) for owner in owners]
