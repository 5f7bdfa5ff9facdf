"""A study's figures as CSV and as a table with the paper's columns."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from SACBRegistrationLib import text_table
from SACBRegistrationLib.study.published import PublishedTable
from SACBRegistrationLib.study.records import MEASURES, STATES, PairRecord
from SACBRegistrationLib.study.settings import StudySettings
from SACBRegistrationLib.study.summary import FIGURES, pair_figures

_COLUMNS = ("Method", "Dice↑", "HD95↓", "ASSD↓", "|J|<0 %↓", "# Param", "SSIM↑")
_OWN_COLUMNS = (*_COLUMNS, "s", "MB")
_DIGITS = {"dice": 3, "hd95": 3, "assd": 3, "ssim": 3}
_LEAST_FOLDING = 0.0001


def write_pairs(path: Path, records: Sequence[PairRecord]) -> None:
    """Writes a row per pair: name, number of structures, every figure, and the error of a failed one."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("name", "structures", *FIGURES, "error"))
        for record in records:
            if record.error is None:
                figures = pair_figures(record)
                count = len(record.measured["structures"])
                writer.writerow((record.name, count, *(_cell(figures[name]) for name in FIGURES), ""))
            else:
                writer.writerow((record.name, *[""] * (1 + len(FIGURES)), record.error))


def write_structures(path: Path, records: Sequence[PairRecord], names: Mapping[int, str]) -> None:
    """Writes a row per pair and structure; distances in mm."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        columns = [(measure, state) for measure in MEASURES for state in STATES]
        writer.writerow(("name", "label", "structure", *("_".join(column) for column in columns)))
        for record in records:
            if record.error is not None:
                continue
            for label, measures in record.measured["structures"].items():
                values = (_cell(measures[measure].get(state)) for measure, state in columns)
                writer.writerow((record.name, label, names.get(int(label), ""), *values))


def method_rows(
    pairs: Mapping[str, Mapping], settings: StudySettings, parameters: int | None, given: bool
) -> list[tuple[str, ...]]:
    """Returns the study's own rows: as given, aligned, and after.

    Args:
        pairs: Figure to mean, standard deviation and count; see `over_pairs`.
        settings: The study's.
        parameters: Parameters of the network, or None without one.
        given: Whether every transform was given.
    """
    titles = {"before": "Before", "aligned": "Aligned", "after": _method(settings, parameters, given)}
    rows = []
    for state in STATES:
        figures = {measure: pairs[f"{measure}_{state}"] for measure in (*MEASURES, "ssim")}
        if not figures["dice"]["n"]:
            continue
        cells = {name: _spread(value, _DIGITS[name]) for name, value in figures.items()}
        last = state == "after"
        rows.append(
            (
                titles[state],
                cells["dice"],
                cells["hd95"],
                cells["assd"],
                _folding(pairs["folding_percent"]) if last else "-",
                f"{parameters / 1e6:.2f}M" if last and parameters and not given else "-",
                cells["ssim"],
                _spread(pairs["seconds"], 1) if last else "-",
                _spread(pairs["peak_memory_mb"], 0) if last else "-",
            )
        )
    return rows


def markdown(
    rows: Sequence[tuple[str, ...]], title: str, notes: Sequence[str], table: PublishedTable | None
) -> str:
    """Returns the table in Markdown, the paper's rows below ours where given.

    Args:
        rows: From `method_rows`.
        title: Headline.
        notes: Sentences below the table.
        table: The paper's table, or None.
    """
    lines = [f"# {title}", ""]
    if table is not None:
        rows = [
            *((f"**{row[0]}**", *row[1:]) for row in rows),
            *((f"{row[0]} (paper)", *row[1:], "-", "-") for row in table.rows),
        ]
    lines += text_table.markdown([_OWN_COLUMNS, *rows], text_columns=1)
    lines += ["", *(f"- {note}" for note in notes)]
    if table is not None:
        lines.append(
            f"- Rows marked (paper): {table.source}, {table.where}; {table.structures} structures, "
            f"{table.pairs} pairs, as printed there. They compare with ours only on the same scans."
        )
    return "\n".join(lines) + "\n"


def plain_text(rows: Sequence[tuple[str, ...]]) -> str:
    """Returns the study's own rows for a terminal."""
    return "\n".join(text_table.aligned([_OWN_COLUMNS, *rows], text_columns=1))


def _method(settings: StudySettings, parameters: int | None, given: bool) -> str:
    if given:
        return "Given transforms"
    refined = settings.registration.refine
    if parameters is None:
        return "Alignment alone" if refined == 0 else "Refinement"
    return "Network, refined" if refined else "Network"


def _spread(value: Mapping, digits: int) -> str:
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:.{digits}f}" + ("" if value["sd"] is None else f" ± {value['sd']:.{digits}f}")


def _folding(value: Mapping) -> str:
    if value["mean"] is not None and 0 < value["mean"] < _LEAST_FOLDING:
        return f"<{_LEAST_FOLDING}"
    return _spread(value, 4)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
