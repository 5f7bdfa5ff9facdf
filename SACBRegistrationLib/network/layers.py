"""The convolution block that every part of the network is made of."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from SACBRegistrationLib.network import cpu_layers, device_layers

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
        return normalize_and_activate(convolve(x, self.conv.weight, self.conv.bias))

    def forward_halves(self, halves: list[torch.Tensor]) -> torch.Tensor:
        """Takes the halves of an input's channels without ever joining them, to spare memory.

        Args:
            halves: Two [B, C_in / 2, D, H, W], first half first; taken out of the list one by one.

        Returns:
            [B, C_out, D, H, W].
        """
        first, second = self.conv.weight.chunk(2, dim=1)
        total = convolve(halves.pop(0), first, self.conv.bias)
        return normalize_and_activate(total.add_(convolve(halves.pop(0), second, None)))


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Convolves [B, C_in, D, H, W] with a 3x3x3 kernel, zero-padded by 1."""
    if cpu_layers.is_worth_it(x):
        return cpu_layers.convolve(x, weight, bias)
    return F.conv3d(x, weight, bias, padding=1)


def normalize_and_activate(x: torch.Tensor) -> torch.Tensor:
    """Normalises every channel of every sample to mean 0 and variance 1, then applies LeakyReLU.

    Without gradients a large volume is overwritten.
    """
    if cpu_layers.is_worth_it(x):
        return cpu_layers.normalize_and_activate_(x, NORM_EPS, NEGATIVE_SLOPE)
    if x.device.type != "cpu" and not torch.is_grad_enabled():
        return device_layers.normalize_and_activate_(x, NORM_EPS, NEGATIVE_SLOPE)
    return F.leaky_relu(F.instance_norm(x, eps=NORM_EPS), NEGATIVE_SLOPE)


def consume(layers: Iterable[nn.Module], volumes: list[torch.Tensor]) -> torch.Tensor:
    """Applies layers one after the other to the volume that is taken out of a list.

    An argument would be held by the caller until the last layer is done.
    """
    x = volumes.pop()
    for layer in layers:
        x = layer(x)
    return x
