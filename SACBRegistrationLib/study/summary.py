"""Figures of pairs and structures, with mean and standard deviation."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.study.records import MEASURES, STATES, PairRecord
from SACBRegistrationLib.study.settings import StudySettings

FIGURES = (
    *(f"{measure}_{state}" for measure in (*MEASURES, "ssim", "ssim_anatomy") for state in STATES),
    "folding_percent",
    "seconds",
    "peak_memory_mb",
    "gpu_memory_mb",
)
"""Names of a pair's figures; distances are means over its structures in mm."""

_SIDE = re.compile(r"(left|right)\s+(.+)", re.IGNORECASE)


def pair_figures(record: PairRecord) -> dict[str, float | None]:
    """Returns a measured pair's figures by the names in FIGURES; None where there is none."""
    measured = record.measured
    figures: dict[str, float | None] = {}
    for measure in MEASURES:
        for state in STATES:
            values = [entry[measure].get(state) for entry in measured["structures"].values()]
            figures[f"{measure}_{state}"] = _mean(values)
    for key in ("ssim", "ssim_anatomy"):
        figures |= {f"{key}_{state}": measured[key].get(state) for state in STATES}
    figures["folding_percent"] = measured["jacobian"].get("folding_percent")
    figures["seconds"] = measured["seconds"]
    for key in ("peak_memory", "gpu_memory"):
        count = measured[f"{key}_bytes"]
        figures[f"{key}_mb"] = None if count is None else count / 1e6
    return figures


def spread(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Returns mean, standard deviation (n - 1; None below two values) and count n of what is not None."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "n": len(known),
    }


def over_pairs(records: Sequence[PairRecord]) -> dict[str, dict]:
    """Returns the spread of every figure over the measured pairs."""
    figures = [pair_figures(record) for record in records if record.error is None]
    return {name: spread(found[name] for found in figures) for name in FIGURES}


def over_structures(records: Sequence[PairRecord], names: Mapping[int, str]) -> dict[str, dict]:
    """Returns label to its name and the spread over pairs of "dice_before" and so on."""
    values: dict[int, dict[str, list]] = {}
    for record in records:
        if record.error is not None:
            continue
        for label, measures in record.measured["structures"].items():
            kept = values.setdefault(int(label), {})
            for measure in MEASURES:
                for state, value in measures[measure].items():
                    kept.setdefault(f"{measure}_{state}", []).append(value)
    return {
        str(label): {
            "name": names.get(label, ""),
            **{figure: spread(found) for figure, found in values[label].items()},
        }
        for label in sorted(values)
    }


def structure_names(
    records: Sequence[PairRecord], settings: StudySettings, preset: Preset
) -> Mapping[int, str]:
    """Returns the preset's names, or none where the labels follow another table.

    A map with values that the preset does not know follows another table, unless labels were chosen by the
    preset's names.
    """
    unknown = any(record.measured["unknown"] for record in records if record.error is None)
    return preset.labels if settings.named or not unknown else {}


def both_sides(labels: Iterable[int], names: Mapping[int, str]) -> dict[str, list[int]]:
    """Returns what to show together, by name: left and right of a structure where both are there."""
    labels = sorted(labels)
    sides: dict[str, list[int]] = {}
    for label in labels:
        match = _SIDE.fullmatch(names.get(label, ""))
        if match:
            sides.setdefault(match.group(2).casefold(), []).append(label)
    groups: dict[str, list[int]] = {}
    for label in labels:
        name = names.get(label) or str(label)
        match = _SIDE.fullmatch(name)
        if match and len(sides[match.group(2).casefold()]) > 1:
            name = match.group(2)[0].upper() + match.group(2)[1:]
        groups.setdefault(name, []).append(label)
    return groups


def worst_pair(records: Sequence[PairRecord]) -> PairRecord | None:
    """Returns the measured pair with the lowest mean Dice, or None."""
    scored = [
        (value, index)
        for index, record in enumerate(records)
        if record.error is None and (value := pair_figures(record)["dice_after"]) is not None
    ]
    return records[min(scored)[1]] if scored else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
