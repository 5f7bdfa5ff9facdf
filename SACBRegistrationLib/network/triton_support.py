"""Whether the Triton kernels can be used here; needs no Triton itself."""

import logging
import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch.utils._pytree import tree_map

logger = logging.getLogger(__name__)

SWITCH = "SACB_TRITON"
"""Environment variable; "0" keeps to torch's own operations."""

# The oldest cards that Triton compiles for.
_CAPABILITY = (7, 0)
_TOLERANCE = 1e-3


def serves(features: torch.Tensor) -> bool:
    """Returns whether the Triton kernels may work on these features now: known number type, no gradients."""
    known = features.dtype in (torch.float32, torch.float16, torch.bfloat16)
    return known and not torch.is_grad_enabled() and triton_usable(features.device)


def triton_usable(device: torch.device) -> bool:
    """Returns whether the Triton kernels compile, run and give the right result on the device.

    The first call for a device compiles and runs them on a few voxels, about a second; further ones are free.
    Why not is logged once. Never raises.

    Args:
        device: Where the network computes.
    """
    if device.type != "cuda" or not torch.cuda.is_available():
        return False
    reason = _obstacle(torch.cuda.current_device() if device.index is None else device.index)
    return reason is None


@lru_cache
def _obstacle(index: int) -> str | None:
    """Returns why the kernels cannot be used on a CUDA device, None when they can, and logs it."""
    if os.environ.get(SWITCH) == "0":
        reason = f"{SWITCH}=0 is set"
    elif find_spec("triton") is None:
        reason = "Triton is not installed"
    elif torch.cuda.get_device_capability(index) < _CAPABILITY:
        reason = "the GPU is too old for Triton"
    else:
        reason = _failure(torch.device("cuda", index))
    if reason is not None:
        logger.info("The network runs without Triton kernels: %s.", reason)
    return reason


def _failure(device: torch.device) -> str | None:
    # A missing compiler or driver library shows only when the first kernel is built; what it raises then
    # depends on the platform.
    try:
        difference = largest_difference(device)
    except Exception as error:
        logger.debug("trying the Triton kernels failed", exc_info=True)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None if difference <= _TOLERANCE else f"they are off by {difference:g} here"


def largest_difference(device: torch.device) -> float:
    """Returns how far the kernels are from torch's own operations on a few random voxels."""
    from SACBRegistrationLib.network import lloyd_on_device
    from SACBRegistrationLib.network.adaptive_convolution import adaptive_convolution
    from SACBRegistrationLib.network.matching import match
    from SACBRegistrationLib.network.precision import Precision, using_precision
    from SACBRegistrationLib.network.triton_kernels import adaptive_convolution_triton, match_triton
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    features, fixed = draw(1, 16, 3, 5, 7), draw(1, 16, 3, 5, 7) / 4
    labels = torch.arange(3 * 5 * 7).reshape(1, 3, 5, 7).to(device) % 3
    arguments = (features, draw(16, 16, 27) / 20, labels, draw(1, 3, 27), draw(1, 3, 16))
    with torch.inference_mode(), using_precision(Precision.FLOAT32, device):
        convolved = adaptive_convolution_triton(*arguments) - _plain(adaptive_convolution, *arguments)
        matched = match_triton(features, fixed) - _plain(match, features, fixed)
        # Far apart, so that rounding puts none into another cluster.
        groups = 10 * draw(5, 16)
        clustering = (groups.repeat(300, 1) + draw(1500, 16), groups + draw(5, 16), 0.0, 3)
        moved = lloyd_triton(*clustering, lambda step, flag: False)[0]
        moved = moved - _plain(lloyd_on_device.lloyd, *clustering)[0]
        return max(float(away.abs().max()) for away in (convolved, matched, moved))


def _plain(function, *arguments):
    # Where gradients are on, the plain functions do not take the kernels themselves.
    with torch.inference_mode(False), torch.enable_grad():
        found = function(*(a.clone() if isinstance(a, torch.Tensor) else a for a in arguments))
        return tree_map(torch.Tensor.detach, found)
