"""A comparison as one table, for a terminal or a Markdown file."""

import math
from collections.abc import Mapping

import numpy as np

from SACBRegistrationLib import text_table
from SACBRegistrationLib.comparison.spread import dice_by_pair

HEADER = (
    "pair", "method", "pairs", "Dice", "own labels", "- greedy", "- SyN", "HD95 mm", "folding %", "seconds",
    "/ greedy", "/ SyN", "process s", "peak MB",
)  # fmt: skip
_TEXT_COLUMNS = 2
_AVERAGED = (
    "dice", "own_dice", "hd95", "folding_percent", "seconds", "process_seconds", "peak_memory_bytes",
)  # fmt: skip
MEAN = "mean"


def means(pairs: Mapping[str, Mapping[str, dict]]) -> dict[str, dict]:
    """Returns every method's means over the pairs that all methods with any result have finished.

    Args:
        pairs: Measurements by pair and method.

    Returns:
        By method: the means, None where a figure is missing, "pairs", their number, and "worst_folding".
    """
    some = {name for row in pairs.values() for name, found in row.items() if "failure" not in found}
    whole = [
        row for row in pairs.values() if all(name in row and "failure" not in row[name] for name in some)
    ]
    if not whole:
        return {}
    names = [name for name in next(iter(pairs.values())) if name in some]
    return {
        name: {
            **{figure: _mean([row[name].get(figure) for row in whole]) for figure in _AVERAGED},
            "worst_folding": max(row[name]["folding_percent"] for row in whole),
            "pairs": len(whole),
        }
        for name in names
    }


def rows(outcome: dict) -> list[tuple[str, ...]]:
    """Returns the texts of the table's rows, without its header: every pair, then the means.

    Args:
        outcome: What `run_comparison` returns.
    """
    lines = [line for pair, found in outcome["pairs"].items() for line in _lines(pair, found)]
    return [*lines, *_lines(MEAN, means(outcome["pairs"]))] if len(outcome["pairs"]) > 1 else lines


def notes(outcome: dict) -> list[str]:
    """Returns sentences on where it ran, what the columns are, and what went wrong."""
    where, settings = outcome["circumstances"], outcome["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    peers = ", ".join(f"{name} {version}" for name, version in settings["peers"].items())
    prepared = [
        text
        for value, text in (
            (settings["spacing"], f"at {settings['spacing'] or 0:g} mm"),
            (settings["clip"], f"clipped to {settings['clip']}"),
        )
        if value
    ]
    elastix = any("elastix" in row for row in outcome["pairs"].values())
    threads = f"{settings['threads']} threads each" + (" but elastix, which has one" if elastix else "")
    lines = [
        f"{where['date']}, {where['processor']}, {where['cores']} cores, {where['gpu'] or 'no GPU'}, "
        f"{where['system']}; {threads}, device {settings['device']}. {versions}.",
        f"Preset {settings['preset']}, weights {settings['weights']}, at most {settings['refine']} steps of "
        f"refinement per resolution. Other programs: {peers or 'none'}; they got the images "
        f"{' and '.join(prepared) or 'as they are'}.",
        "Dice: mean over the labels that both maps have, moving labels warped with nearest neighbour through "
        "the transform that was written, on the fixed labels' grid; own labels, if any: with the "
        "program's own label interpolation (SyN: genericLabel, greedy: LABEL 0.2vox).",
        "Folding: voxels of the fixed volume whose Jacobian determinant is not positive, from the composed "
        "displacement field; of elastix, greedy, SyN and convexAdam sampled at the fixed image's voxels.",
        "Seconds: registration in memory, alignment included; process s: with start, imports, reading, and "
        "what this project writes. Peak MB: of the process and what it starts.",
    ]
    lines.extend(_below_alignment(outcome["pairs"]))
    lines.extend(outcome["absent"].values())
    lines.extend(
        f"{pair}, {method}: {found['failure']}"
        for pair, row in outcome["pairs"].items()
        for method, found in row.items()
        if "failure" in found
    )
    return lines


def plain_text(outcome: dict) -> str:
    """Returns the table, how Dice spreads over several pairs, and the notes, for a terminal."""
    tables = [text_table.aligned(lines, columns) for lines, columns in _tables(outcome)]
    return "\n".join([line for found in tables for line in (*found, "")] + notes(outcome))


def markdown(outcome: dict) -> str:
    """Returns the same in Markdown."""
    tables = [text_table.markdown(lines, columns) for lines, columns in _tables(outcome)]
    return "\n".join(
        [line for found in tables for line in (*found, "")] + [f"- {line}" for line in notes(outcome)]
    )


def _tables(outcome: dict) -> list[tuple[list[tuple[str, ...]], int]]:
    """Returns every table's texts, header first, and the number of its columns that hold words."""
    tables = [(_without_empty_columns([HEADER, *rows(outcome)]), _TEXT_COLUMNS)]
    return [*tables, (dice_by_pair(outcome["pairs"]), 1)] if len(outcome["pairs"]) > 1 else tables


def _lines(pair: str, found: Mapping[str, dict]) -> list[tuple[str, ...]]:
    greedy, syn = (_finished(found.get(name)) for name in ("greedy", "syn"))
    return [_line(pair, method, row, greedy, syn) for method, row in found.items()]


def _line(pair: str, method: str, row: dict, greedy: dict | None, syn: dict | None) -> tuple[str, ...]:
    if "failure" in row:
        return (pair, method, "", "failed", *[""] * (len(HEADER) - 4))
    memory = row["peak_memory_bytes"]
    return (
        pair,
        method,
        str(row.get("pairs", "")),
        _number(row["dice"], ".3f"),
        _number(row["own_dice"], ".3f"),
        *(_number(_difference(row, other, "dice"), "+.3f") for other in (greedy, syn)),
        _number(row["hd95"], ".2f"),
        _number(row["folding_percent"], ".4f"),
        _number(row["seconds"], ".1f"),
        *(_number(_ratio(row, other, "seconds"), ".2f") for other in (greedy, syn)),
        _number(row["process_seconds"], ".1f"),
        "" if memory is None else f"{memory / 1e6:.0f}",
    )


def _below_alignment(pairs: Mapping[str, Mapping[str, dict]]) -> list[str]:
    sentences = []
    for method in dict.fromkeys(name for row in pairs.values() for name in row if name != "affine"):
        worse = [
            pair
            for pair, row in pairs.items()
            if _finished(row.get("affine"))
            and _finished(row.get(method))
            and row[method]["dice"] < row["affine"]["dice"]
        ]
        if worse:
            sentences.append(f"Below the affine alignment by {method}: {', '.join(worse)}.")
    return sentences


def _finished(row: dict | None) -> dict | None:
    return None if row is None or "failure" in row else row


def _difference(row: dict, other: dict | None, name: str) -> float | None:
    return None if other is None or other is row else row[name] - other[name]


def _ratio(row: dict, other: dict | None, name: str) -> float | None:
    return None if other is None or not other[name] else row[name] / other[name]


def _mean(values: list[float | None]) -> float | None:
    return None if any(value is None for value in values) else float(np.mean(values))


def _number(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, form)


def _without_empty_columns(lines: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    kept = [i for i in range(len(HEADER)) if i < _TEXT_COLUMNS or any(line[i] for line in lines[1:])]
    return [tuple(line[i] for i in kept) for line in lines]
