"""Settings of a run, checked before any work starts."""

import math
from collections.abc import Mapping
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import Preset, list_presets, load_preset
from SACBRegistrationLib.settings import LEVELS, RegistrationSettings

FEWEST_CLUSTERS, MOST_CLUSTERS = 2, 32
NO_WEIGHTS = "none"
LEAST_MEMORY_LIMIT = 0.2
MOST_PASSES = 4
_ALIGNMENTS = ("none", "rigid", "affine")
SIMILARITIES = ("auto", "ncc", "mind")
_SMOOTHNESS = (0.05, 20.0)


def check_settings(settings: RegistrationSettings) -> Preset:
    """Checks every choice that needs no image, and returns the preset.

    Raises:
        UserError: When a choice is out of range; one sentence names it.
    """
    preset = load_preset(settings.preset)
    cluster_numbers(settings, preset)
    if settings.alignment is not None and settings.alignment not in _ALIGNMENTS:
        raise UserError(
            f'The alignment "{settings.alignment}" is unknown; choose one of {", ".join(_ALIGNMENTS)}.'
        )
    if settings.refine is not None and (not isinstance(settings.refine, int) or settings.refine < 0):
        raise UserError(f"The number of refinement steps must be 0 or more, not {settings.refine}.")
    if settings.similarity not in SIMILARITIES:
        raise UserError(
            f'The similarity "{settings.similarity}" is unknown; choose one of {", ".join(SIMILARITIES)}.'
        )
    low, high = _SMOOTHNESS
    if not low <= settings.smoothness <= high:
        raise UserError(f"The smoothness must be between {low:g} and {high:g}, not {settings.smoothness:g}.")
    for name, spacing in (("field", settings.field_spacing), ("refinement", settings.refine_spacing)):
        if spacing is not None and not (math.isfinite(spacing) and 0.1 <= spacing <= 50):
            raise UserError(f"The {name} spacing must be between 0.1 and 50 mm, not {spacing:g}.")
    passes = settings.symmetric_passes
    if passes is not None and (type(passes) is not int or not 0 <= passes <= MOST_PASSES):
        raise UserError(
            f"The number of symmetric passes must be a whole number from 0 to {MOST_PASSES}, not {passes}."
        )
    limit = settings.memory_limit
    if limit is not None and not (math.isfinite(limit) and LEAST_MEMORY_LIMIT <= limit <= 10_000):
        raise UserError(
            f"The memory limit must be between {LEAST_MEMORY_LIMIT:g} and 10000 GB, not {limit:g}."
        )
    if not isinstance(settings.seed, int) or not 0 <= settings.seed < 2**31:
        raise UserError(f"The seed must be a whole number from 0 to 2147483647, not {settings.seed}.")
    return preset


def cluster_numbers(settings: RegistrationSettings, preset: Preset) -> dict[int, int]:
    """Returns the number of clusters of every level.

    Raises:
        UserError: When a number is outside 2 to 32, or a level is missing.
    """
    chosen = preset.clusters if settings.clusters is None else settings.clusters
    if not isinstance(chosen, Mapping):
        chosen = dict.fromkeys(LEVELS, chosen)
    if set(chosen) != set(LEVELS):
        raise UserError(f"Clusters per level need a number for each of the levels {LEVELS}.")
    for number in chosen.values():
        if not isinstance(number, int) or not FEWEST_CLUSTERS <= number <= MOST_CLUSTERS:
            raise UserError(
                f"The number of clusters must be from {FEWEST_CLUSTERS} to {MOST_CLUSTERS}, not {number}."
            )
    return dict(chosen)


def weights_file(settings: RegistrationSettings, preset: Preset) -> Path | None:
    """Returns the checkpoint to use, or None to run without the network."""
    if settings.weights is None:
        return preset.weights_path
    return None if str(settings.weights).lower() == NO_WEIGHTS else Path(settings.weights)


def check_modality(info: Mapping[str, object], preset: Preset) -> None:
    """Checks that weights were not trained on another kind of image than the preset is for.

    Args:
        info: Metadata of the checkpoint; weights that do not name a bundled preset are taken as they are.
        preset: The preset of the run.

    Raises:
        UserError: When the modalities differ.
    """
    trained = next((known for known in list_presets() if known.name == info.get("preset")), None)
    if trained is not None and trained.modality != preset.modality:
        raise UserError(
            f"The weights were trained on {trained.modality.upper()} images and the preset {preset.name} is "
            f"for {preset.modality.upper()}; choose other weights or another preset."
        )


def network_passes(settings: RegistrationSettings, info: Mapping[str, object]) -> int:
    """Returns in how many rounds the network runs in both directions, 0 for once forward.

    Args:
        settings: The user's choices.
        info: Metadata of the checkpoint; weights that record nothing run as published.
    """
    if settings.symmetric_passes is not None:
        return settings.symmetric_passes
    return min(info.get("symmetric_passes", 0), MOST_PASSES)


def refinement_steps(settings: RegistrationSettings, preset: Preset) -> int:
    """Returns the most refinement steps per resolution.

    Without a choice, a run with a network is refined where the preset says so, and one without always is, as
    nothing else would deform.
    """
    if settings.refine is not None:
        return settings.refine
    refined = preset.refine_network or weights_file(settings, preset) is None
    return preset.refine_steps if refined else 0
