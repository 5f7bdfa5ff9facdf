"""The convolution block that every part of the network is made of."""

import torch
from torch import nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.1
NORM_EPS = 1e-5


class ConvBlock(nn.Module):
    """3x3x3 convolution, instance normalisation without parameters, LeakyReLU (paper, Section 3.1).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Takes [B, C_in, D, H, W] to [B, C_out, D, H, W]."""
        return normalize_and_activate(self.conv(x))


def normalize_and_activate(x: torch.Tensor) -> torch.Tensor:
    """Normalises every channel of every sample to mean 0 and variance 1, then applies LeakyReLU."""
    return F.leaky_relu(F.instance_norm(x, eps=NORM_EPS), NEGATIVE_SLOPE)
