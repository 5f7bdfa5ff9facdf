"""Which synthesiser makes the training pairs of a preset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from SACBRegistrationLib.training.abdomen_synthesis import AbdomenSettings, AbdomenSynthesizer
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.synthesis import PairSynthesizer, SynthesisSettings, TrainingPair

ABDOMEN_PRESETS = ("abdomen-ct",)
"""Presets trained on synthetic abdomens; all others are trained on synthetic heads."""


class Synthesizer(Protocol):
    """Makes any number of training pairs; the same seed and step give the same pair."""

    def pair(self, seed: int, step: int, spacing: float) -> TrainingPair:
        """Returns the pair of one training step; spacing in mm."""

    def validation_pairs(self, number: int, seed: int, spacing: float) -> list[TrainingPair]:
        """Returns pairs on the smallest grid that depend on nothing but the arguments; spacing in mm."""


def is_abdomen(settings: TrainingSettings) -> bool:
    """Returns whether a training run is on abdomens."""
    return settings.preset in ABDOMEN_PRESETS


def synthesizer_for(settings: TrainingSettings, paths: Sequence[Path]) -> Synthesizer:
    """Returns what makes the pairs of a training run from these files.

    Args:
        settings: The run; its preset decides between heads and abdomens.
        paths: Label maps, for abdomens with their scans.

    Raises:
        UserError: When a file cannot be read or does not hold what the preset needs.
    """
    if is_abdomen(settings):
        synthesis = AbdomenSettings(
            extent=settings.extent,
            largest_extent=settings.largest_extent,
            deformation=settings.deformation,
        )
        return AbdomenSynthesizer.from_files(paths, settings.axes, synthesis)
    synthesis = SynthesisSettings(
        extent=settings.extent,
        largest_extent=settings.largest_extent,
        deformation=settings.deformation,
        t1_share=settings.t1_share,
    )
    return PairSynthesizer.from_files(paths, settings.axes, synthesis)
