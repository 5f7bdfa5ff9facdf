"""Training pairs: two heads in nearly the same pose, with images of the same contrast and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SACBRegistrationLib.training import appearance, deformation
from SACBRegistrationLib.training.label_maps import LabelMap, read_label_maps
from SACBRegistrationLib.training.label_volume import after, sample_head
from SACBRegistrationLib.training.pairs import TrainingPair

STRIDE = 16
"""Every side of a training grid is a multiple of this, as the network asks for."""


@dataclass(frozen=True)
class SynthesisSettings:
    """How pairs are made.

    Attributes:
        extent: Length of the grid along D, H, W, mm; sides are rounded up to multiples of 16 voxels.
        largest_extent: Every training pair draws each side between `extent` and this; None keeps `extent`.
            The network normalises over the whole volume: what it does depends on how much background is
            around a head, so it must have seen that.
        t1_share: Share of pairs with T1-like contrast; the others have any contrast.
        same_head_share: Share of pairs made of one head deformed twice.
        same_tool_share: Share of pairs whose fluid was removed in the same way from both.
        deformation: Factor on the standard deviations of the random deformation.
    """

    extent: tuple[float, float, float] = (160.0, 192.0, 224.0)
    largest_extent: tuple[float, float, float] | None = None
    t1_share: float = 0.6
    same_head_share: float = 0.1
    same_tool_share: float = 0.8
    deformation: float = 1.0


def grid_size(extent: Sequence[float], spacing: float) -> tuple[int, int, int]:
    """Returns the sides in voxels, multiples of 16, that cover an extent in mm."""
    return tuple(STRIDE * int(np.ceil(length / spacing / STRIDE - 1e-6)) for length in extent)


def drawn_size(
    smallest: Sequence[float], largest: Sequence[float] | None, spacing: float, generator: np.random.Generator
) -> tuple[int, int, int]:
    """Returns sides in voxels, multiples of 16, drawn between those that cover two extents in mm.

    Args:
        smallest: Along D, H, W.
        largest: Likewise; a side below the smallest counts as equal to it, None as equal on all sides.
        spacing: Voxel size, mm.
        generator: Draws.
    """
    low, high = grid_size(smallest, spacing), grid_size(largest or smallest, spacing)
    return tuple(
        n + STRIDE * int(generator.integers(max(m - n, 0) // STRIDE + 1))
        for n, m in zip(low, high, strict=True)
    )


class PairSynthesizer:
    """Makes any number of training pairs from a few label maps; the same seed and step give the same pair.

    Args:
        maps: Label maps in a common pose.
        settings: How pairs are made.
    """

    def __init__(self, maps: Sequence[LabelMap], settings: SynthesisSettings = SynthesisSettings()) -> None:
        self.maps = tuple(maps)
        self.settings = settings

    @classmethod
    def from_files(
        cls, paths: Sequence[Path], axes: str, settings: SynthesisSettings = SynthesisSettings()
    ) -> "PairSynthesizer":
        """Reads the label maps; see `read_label_maps` for the errors."""
        return cls(read_label_maps(paths, axes), settings)

    def pair(self, seed: int, step: int, spacing: float) -> TrainingPair:
        """Returns the pair of one training step.

        Args:
            seed: Seed of the training run.
            step: Number of the step.
            spacing: Voxel size, mm.
        """
        generator = np.random.default_rng((seed, step))
        fixed = int(generator.integers(len(self.maps)))
        moving = fixed
        if len(self.maps) > 1 and generator.random() >= self.settings.same_head_share:
            moving = (fixed + 1 + int(generator.integers(len(self.maps) - 1))) % len(self.maps)
        t1 = bool(generator.random() < self.settings.t1_share)
        size = drawn_size(self.settings.extent, self.settings.largest_extent, spacing, generator)
        return self._pair(moving, fixed, t1, size, spacing, generator)

    def validation_pairs(self, number: int, seed: int, spacing: float) -> list[TrainingPair]:
        """Returns T1-like pairs on the smallest grid that go round all ordered pairs of heads."""
        size = grid_size(self.settings.extent, spacing)
        count = len(self.maps)
        ordered = [(m, f) for m in range(count) for f in range(count) if m != f] or [(0, 0)]
        return [
            self._pair(*ordered[i % len(ordered)], True, size, spacing, np.random.default_rng((seed, i)))
            for i in range(number)
        ]

    def _pair(
        self,
        moving: int,
        fixed: int,
        t1: bool,
        size: tuple[int, int, int],
        spacing: float,
        generator: np.random.Generator,
    ) -> TrainingPair:
        settings = self.settings
        pose = deformation.random_affine(deformation.POSE, generator)
        mirrored = generator.random() < 0.5
        contrast = appearance.random_contrast(t1, generator)
        tool = int(generator.integers(2**31))
        images, labels = [], []
        for head in (moving, fixed):
            affine = after(pose, deformation.random_affine(deformation.RESIDUAL, generator))
            field = deformation.random_displacement(size, spacing, settings.deformation, generator)
            volume = sample_head(self.maps[head], affine, field, spacing, mirrored)
            labels.append(volume.structure_shares())
            own_tool = tool if generator.random() < settings.same_tool_share else tool + 1
            volume = appearance.strip_fluid(volume, np.random.default_rng(own_tool))
            images.append(appearance.render(volume, appearance.varied(contrast, generator), generator))
        return TrainingPair(*images, *labels, spacing)
