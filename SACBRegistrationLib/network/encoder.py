"""The encoder shared by the fixed and the moving image (paper, Section 3.1 and Figure 5)."""

from dataclasses import replace

import torch
from torch import nn

from SACBRegistrationLib.network.layers import ConvBlock, Halving, apply_blocks, consume
from SACBRegistrationLib.network.slab_sources import Slabs, Stored
from SACBRegistrationLib.network.slabs import SlabSettings, computed_again, convolve_block, halve

CHANNELS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 64}
"""Channels of the features of every level."""


class Encoder(nn.Module):
    """Features of five levels; level i has 1 / 2^(i-1) of the resolution."""

    def __init__(self) -> None:
        super().__init__()
        stages = [nn.Sequential(ConvBlock(1, 4), ConvBlock(4, 8), ConvBlock(8, CHANNELS[1]))]
        for level in (2, 3, 4, 5):
            c_in, c_out = CHANNELS[level - 1], CHANNELS[level]
            stages.append(nn.Sequential(Halving(), ConvBlock(c_in, c_out), ConvBlock(c_out, c_out)))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: torch.Tensor) -> dict[int, torch.Tensor]:
        """Encodes one image.

        Args:
            image: [B, 1, D, H, W], intensities in [0, 1], sides divisible by 16.

        Returns:
            Level (1 to 5) to features [B, C, D / 2^(level-1), H / 2^(level-1), W / 2^(level-1)].
        """
        features, x = {}, image
        for level, stage in enumerate(self.stages, start=1):
            pooling = [layer for layer in stage if not isinstance(layer, ConvBlock)]
            for layer in pooling:
                x = layer(x)
            x = apply_blocks(stage[len(pooling) :], x)
            features[level] = x
        return features

    def in_slabs(self, image: torch.Tensor, settings: SlabSettings) -> dict[int, torch.Tensor | Slabs]:
        """Encodes one image with the full resolution in slabs.

        Args:
            image: [B, 1, D, H, W], intensities in [0, 1], sides divisible by 16.
            settings: How the slabs are made.

        Returns:
            As `forward`, but level 1 as slabs that are computed again when they are read.
        """
        first, (_, *blocks), *others = self.stages
        source, again = Stored(image), Stored(image)
        for block in first:
            # Less is stored here than in the final flow.
            source = convolve_block(block, source, replace(settings, keep=True))
            again = computed_again(block, again, source)
        halved = [halve(source, settings)]
        del source
        x = consume(blocks, halved)
        features: dict[int, torch.Tensor | Slabs] = {1: again, 2: x}
        for level, stage in enumerate(others, start=3):
            x = stage(x)
            features[level] = x
        return features
