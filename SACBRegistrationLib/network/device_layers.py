"""Normalisation of volumes on a GPU, without gradients."""

import torch
from torch.nn import functional as F


def normalize_and_activate_(x: torch.Tensor, eps: float, negative_slope: float) -> torch.Tensor:
    """Normalises every channel of every sample to mean 0 and variance 1, then LeakyReLU, in place.

    Torch's own instance normalisation copies a volume with its channels last to the other layout and makes
    two more of it: as much memory as four convolutions' results.

    Args:
        x: [B, C, D, H, W] of any layout and number type; overwritten. Statistics are float32 at least.
        eps: Added to the variance.
        negative_slope: Of the LeakyReLU.

    Returns:
        x.
    """
    inner = (2, 3, 4)
    if x.dtype in (torch.float32, torch.float64):
        variance, mean = torch.var_mean(x, dim=inner, correction=0, keepdim=True)
    else:
        # Halves are summed in float32 where they lie; what the difference of the squares loses is less than
        # what their own rounding has lost.
        mean = x.mean(dim=inner, keepdim=True, dtype=torch.float32)
        length = torch.linalg.vector_norm(x, dim=inner, keepdim=True, dtype=torch.float32)
        variance = (length.square() / x[0, 0].numel() - mean.square()).clamp_(min=0)
    scale = (variance + eps).rsqrt_()
    torch.addcmul(-mean * scale, x, scale, out=x)
    return F.leaky_relu_(x, negative_slope)
