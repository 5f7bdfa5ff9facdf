"""Which synthesiser makes the training pairs of a preset."""

from collections.abc import Sequence
from pathlib import Path

from SACBRegistrationLib.training.abdomen_synthesis import AbdomenSettings, AbdomenSynthesizer
from SACBRegistrationLib.training.pairs import Synthesizer
from SACBRegistrationLib.training.synthesis import PairSynthesizer, SynthesisSettings

ABDOMEN_PRESETS = ("abdomen-ct",)
"""Presets trained on synthetic abdomens; all others are trained on synthetic heads."""


def synthesizer_for(
    preset: str, paths: Sequence[Path], axes: str, settings: SynthesisSettings
) -> Synthesizer:
    """Returns what makes a preset's training pairs.

    Args:
        preset: Name of the preset.
        paths: Label maps, for abdomens with their scans.
        axes: Axis codes of the training arrays, the preset's.
        settings: How pairs are made; abdomens take its extents and its deformation.

    Raises:
        UserError: When a file cannot be read or does not hold what the preset needs.
    """
    if preset in ABDOMEN_PRESETS:
        abdomen = AbdomenSettings(settings.extent, settings.largest_extent, settings.deformation)
        return AbdomenSynthesizer.from_files(paths, axes, abdomen)
    return PairSynthesizer.from_files(paths, axes, settings)


def validation_maps_for(preset: str, training: Sequence[Path], held_out: Sequence[Path]) -> tuple[Path, ...]:
    """Returns the label maps to validate on: those held out.

    Where none is, abdomens are validated on their training maps: every synthetic pair is of two new bodies,
    so pairs of other seeds tell learning from memorising, though not how well other people's organs match.
    """
    return tuple(held_out) or (tuple(training) if preset in ABDOMEN_PRESETS else ())
