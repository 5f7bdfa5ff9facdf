"""Training pairs: CT scans of two differently deformed abdomens after an imperfect affine alignment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from SACBRegistrationLib.training import abdomen_appearance as appearance
from SACBRegistrationLib.training import abdomen_deformation as deformation
from SACBRegistrationLib.training.abdomen_classes import BODY, SHAPES, STRUCTURES
from SACBRegistrationLib.training.abdomen_deformation import Frame
from SACBRegistrationLib.training.abdomen_maps import AbdomenMap, read_abdomens
from SACBRegistrationLib.training.abdomen_variation import own_anatomy, shared_anatomy
from SACBRegistrationLib.training.abdomen_volume import sample_abdomen
from SACBRegistrationLib.training.deformation import random_affine
from SACBRegistrationLib.training.label_volume import after
from SACBRegistrationLib.training.synthesis import TrainingPair, drawn_size, grid_size

_LENGTH_MM = (170.0, 330.0)
_UPPER_END_MM = (25.0, 130.0)
_ENDS_DIFFER_MM = 22.0
_LEAST_SEEN = 0.5


@dataclass(frozen=True)
class AbdomenSettings:
    """How pairs are made.

    Attributes:
        extent: Length of the grid along D, H, W, mm; sides are rounded up to multiples of 16 voxels.
        largest_extent: Every training pair draws each side between `extent` and this; None keeps `extent`.
        deformation: Factor on the standard deviations of the random deformation.
        shapes_share: Share of pairs with synthetic shapes painted over their organs.
        same_phase_share: Share of pairs whose scans have the same contrast phase.
        arbitrary_share: Share of pairs whose organs have any units of soft tissue.
        mirrored_share: Share of pairs with left and right exchanged.
    """

    extent: tuple[float, float, float] = (384.0, 320.0, 256.0)
    largest_extent: tuple[float, float, float] | None = None
    deformation: float = 1.0
    shapes_share: float = 0.35
    same_phase_share: float = 0.75
    arbitrary_share: float = 0.12
    mirrored_share: float = 0.25


class AbdomenSynthesizer:
    """Makes any number of training pairs from a few abdomens; the same seed and step give the same pair.

    Args:
        maps: The abdomens.
        settings: How pairs are made.
    """

    def __init__(self, maps: Sequence[AbdomenMap], settings: AbdomenSettings = AbdomenSettings()) -> None:
        self.maps = tuple(maps)
        self.settings = settings

    @classmethod
    def from_files(
        cls, paths: Sequence[Path], axes: str, settings: AbdomenSettings = AbdomenSettings()
    ) -> "AbdomenSynthesizer":
        """Reads scans and label maps; see `read_abdomens` for the errors."""
        return cls(read_abdomens(paths, axes), settings)

    def pair(self, seed: int, step: int, spacing: float) -> TrainingPair:
        """Returns the pair of one training step.

        Args:
            seed: Seed of the training run.
            step: Number of the step.
            spacing: Voxel size, mm.
        """
        generator = np.random.default_rng((seed, step))
        size = drawn_size(self.settings.extent, self.settings.largest_extent, spacing, generator)
        return self._pair(size, spacing, generator)

    def validation_pairs(self, number: int, seed: int, spacing: float) -> list[TrainingPair]:
        """Returns pairs on the smallest grid that depend on nothing but the arguments."""
        size = grid_size(self.settings.extent, spacing)
        return [self._pair(size, spacing, np.random.default_rng((seed, i))) for i in range(number)]

    def _pair(
        self, size: tuple[int, int, int], spacing: float, generator: np.random.Generator
    ) -> TrainingPair:
        settings = self.settings
        chosen = generator.integers(len(self.maps), size=2)
        low, high = _scanned_range(self.maps[chosen[0]], size[2] * spacing, generator)
        jitter = generator.standard_normal(3) * (6.0, 8.0, 4.0)
        frame = Frame(size, spacing, np.array([0.0, 0.0, (low + high) / 2]) + jitter)
        phase, shapes = appearance.random_phase(generator), appearance.random_shape_units(SHAPES, generator)
        arbitrary = bool(generator.random() < settings.arbitrary_share)
        mirrored = bool(generator.random() < settings.mirrored_share)
        pose = random_affine(deformation.POSE, generator)
        common_seed = int(generator.integers(2**31))
        shared = None
        images, labels = [], []
        for number, map_index in enumerate(chosen):
            abdomen = self.maps[map_index]
            common = np.random.default_rng(common_seed)
            anatomy = shared_anatomy(abdomen.classes, abdomen.spacing, settings.shapes_share, common)
            coarse = frame.coarser()
            if shared is None:
                shared = deformation.random_velocity(abdomen, coarse, settings.deformation, common)
            own = deformation.random_velocity(abdomen, coarse, settings.deformation, generator)
            field = deformation.exponential(shared + own, coarse.spacing)
            affine = pose if number == 0 else after(pose, random_affine(deformation.RESIDUAL, generator))
            anatomy = own_anatomy(anatomy, abdomen.spacing, generator)
            volume = sample_abdomen(anatomy, abdomen.spacing, abdomen.middle, affine, field, frame, mirrored)
            if generator.random() >= settings.same_phase_share:
                phase = appearance.random_phase(generator)
            ends = (
                (low, high)
                if number == 0
                else np.add((low, high), _ENDS_DIFFER_MM * generator.standard_normal(2))
            )
            window = _window(frame, *ends, tilt=0.04 * generator.standard_normal(2) * number)
            units = appearance.random_units(phase, shapes, arbitrary, generator)
            images.append(appearance.render(volume, units, window, generator))
            labels.append((volume.structure_shares(), window))
        fixed_labels, moving_labels = _both_seen(*labels)
        return TrainingPair(images[1], images[0], moving_labels, fixed_labels, spacing)


def _scanned_range(abdomen: AbdomenMap, extent: float, generator: np.random.Generator) -> tuple[float, float]:
    """Returns where a scan begins and ends along W, mm in common coordinates."""
    bottom, top = abdomen.ends
    high = generator.uniform(*np.minimum(_UPPER_END_MM, top - 5))
    shortest, longest = (min(length, extent - 12.0, high - bottom) for length in _LENGTH_MM)
    return high - generator.uniform(shortest, longest), high


def _window(frame: Frame, low: float, high: float, tilt: np.ndarray) -> torch.Tensor:
    """Returns the share of every voxel between two parallel, slightly tilted planes, [D, H, W]."""
    d, h, w = frame.points()
    c = frame.center
    w = w + float(tilt[0]) * (d - float(c[0])) + float(tilt[1]) * (h - float(c[1]))
    return (torch.minimum(w - low, high - w) / frame.spacing + 0.5).clamp(0, 1)


def _both_seen(fixed, moving) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the labels of those structures whose better part both scans show.

    Labels are not cut where the scans end: a cut structure would ask the network to stretch what remains of
    it. Those that are hardly seen ask for nothing.
    """
    keep = torch.ones(len(STRUCTURES), dtype=torch.bool)
    for shares, window in (fixed, moving):
        seen = shares[0].flatten(1) @ torch.stack([window.flatten(), torch.ones(window.numel())], dim=1)
        keep &= seen[:, 0] > _LEAST_SEEN * seen[:, 1]
    keep[STRUCTURES.index(BODY)] = True
    return fixed[0][:, keep], moving[0][:, keep]
