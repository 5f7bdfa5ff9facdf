"""How a comparison's scores spread over the pairs: a row per pair, a column per method."""

import statistics
from collections.abc import Callable, Mapping, Sequence

Measurements = Mapping[str, Mapping[str, dict]]
"""By pair and method, as `run_comparison` returns them."""

OTHERS = {"greedy": "greedy", "syn": "SyN"}
"""Methods that the others are compared with, and what they are called."""

_SUMMARIES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "standard deviation": lambda values: statistics.stdev(values) if len(values) > 1 else float("nan"),
    "smallest": min,
    "largest": max,
}


def dice_by_pair(pairs: Measurements) -> list[tuple[str, ...]]:
    """Returns the texts of a table of Dice, its header first; the summaries below are over all pairs.

    A method with pairs that failed or were not run has no summaries, as those of the others would be of
    other pairs.

    Args:
        pairs: Measurements.
    """
    methods = list(dict.fromkeys(method for row in pairs.values() for method in row))
    scores = {method: [_figure(row.get(method), "dice") for row in pairs.values()] for method in methods}
    lines = [("pair", *methods)]
    for number, pair in enumerate(pairs):
        lines.append((pair, *(_text(scores[method][number], ".3f") for method in methods)))
    whole = {method: found for method, found in scores.items() if None not in found}
    for name, summary in _SUMMARIES.items():
        lines.append((name, *(_text(_of(summary, whole.get(method)), ".3f") for method in methods)))
    for other, title in OTHERS.items():
        if other in whole:
            differences = {
                method: [own - theirs for own, theirs in zip(found, whole[other], strict=True)]
                for method, found in whole.items()
                if method != other
            }
            texts = (_text(_of(min, differences.get(method)), "+.3f") for method in methods)
            lines.append((f"smallest difference from {title}", *texts))
    folding = {
        method: [_figure(row[method], "folding_percent") for row in pairs.values()] for method in whole
    }
    lines.append(("largest folding %", *(_text(_of(max, folding.get(method)), ".4f") for method in methods)))
    return lines


def _figure(row: dict | None, name: str) -> float | None:
    return None if row is None or "failure" in row else row[name]


def _of(summary: Callable[[Sequence[float]], float], values: Sequence[float] | None) -> float | None:
    return None if values is None else summary(values)


def _text(value: float | None, form: str) -> str:
    return "" if value is None or value != value else format(value, form)
