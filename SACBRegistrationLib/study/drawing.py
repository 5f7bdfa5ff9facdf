"""The picture of a measured pair."""

import statistics
from pathlib import Path

from SACBRegistrationLib.pictures.pair_picture import draw_pair
from SACBRegistrationLib.study.measuring import Measured


def draw_measured(path: Path, measured: Measured, name: str) -> None:
    """Draws a measured pair as PNG.

    Args:
        path: File to write.
        measured: The pair.
        name: Its name, the headline.

    Raises:
        UserError: When matplotlib is not installed.
    """
    start = "aligned" if "aligned" in measured.warped else "before"
    structures = measured.record["structures"]
    before, after = (
        statistics.fmean(values["dice"][state] for values in structures.values())
        for state in (start, "after")
    )
    label, lowest = min(structures.items(), key=lambda item: item[1]["dice"]["after"])
    words = {"aligned": "aligned", "before": "as given"}[start]
    folding = measured.record["jacobian"]["folding_percent"]
    numbers = (
        f"mean Dice {before:.3f} {words}, {after:.3f} registered",
        f"lowest {lowest['dice']['after']:.3f} (label {label})",
        f"folding {folding:.4f} %",
    )
    draw_pair(
        path,
        (measured.fixed, measured.warped[start], measured.warped["after"]),
        (measured.fixed_labels, measured.warped_labels[start], measured.warped_labels["after"]),
        [int(number) for number in structures],
        measured.field,
        start,
        title=name,
        subtitle="; ".join(numbers),
    )
