"""What is done with every pair of a study."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.settings import RegistrationSettings

PRESET_LABELS = "preset"
"""The word for all structures of the preset."""


@dataclass(frozen=True)
class StudySettings:
    """The choices of a study.

    Attributes:
        registration: How pairs are registered; its preset also says how intensities are normalised.
        labels: Labels to score, ascending; None for all that both maps of a pair hold.
        named: Whether the labels were chosen by the preset's names, so that its names are right for them.
        ssim: Whether SSIM is computed.
    """

    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    labels: tuple[int, ...] | None = None
    named: bool = False
    ssim: bool = True

    def to_json(self) -> dict:
        """Returns the settings as JSON holds them."""
        return {
            "registration": asdict(self.registration),
            "labels": None if self.labels is None else list(self.labels),
            "ssim": self.ssim,
        }


def choose_labels(words: Sequence[str] | None, preset: Preset) -> tuple[tuple[int, ...] | None, bool]:
    """Returns the labels that some words stand for, and whether they follow the preset's table.

    Args:
        words: Label values, names of the preset's structures (their case does not count), or PRESET_LABELS;
            None for every label.
        preset: The preset.

    Returns:
        The labels, ascending, or None; and whether any was given by the preset's name.

    Raises:
        UserError: When a word is no label value and no structure of the preset.
    """
    if words is None:
        return None, False
    names = {name.casefold(): value for value, name in preset.labels.items()}
    chosen: set[int] = set()
    named = False
    for word in words:
        text = word.strip()
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            chosen.add(int(text))
        elif text.casefold() == PRESET_LABELS and preset.labels:
            chosen.update(preset.labels)
            named = True
        elif text.casefold() in names:
            chosen.add(names[text.casefold()])
            named = True
        else:
            raise UserError(
                f'The label "{text}" is no number and no structure of the preset {preset.name}; give '
                f'numbers, or names that "sacb-registration presets {preset.name}" lists.'
            )
    if chosen <= {0}:
        raise UserError("No label is left to score; 0 is the background, give other labels.")
    return tuple(sorted(chosen - {0})), named
