"""The quality figures of a registration as a table that people read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import slicer
import vtk

COLUMNS = ("Measure", "Before", "After", "Unit")

_MEASURES = (("dice", "Dice", ""), ("hd95", "HD95", "mm"), ("assd", "ASSD", "mm"))


@dataclass(frozen=True)
class _Row:
    measure: str
    before: float | None
    after: float | None
    unit: str


def fill_quality_table(
    table: slicer.vtkMRMLTableNode, report: Mapping[str, object], quality: Mapping[str, object]
) -> None:
    """Fills a table node with the figures of a run; what is not known leaves its cell empty.

    Rows: local NCC; folding, range of the Jacobian determinant and displacement; Dice, HD95 and ASSD of every
    structure and their means; target registration error of every point and its mean. A mean is taken over
    those that are known before and after, so that the two can be compared; the row says how many.

    Cells hold decimal numbers rounded for reading, as text: MRML's columns of numbers cannot be empty, and an
    unknown distance would come back from a file as 0 mm.

    Args:
        table: Table node; what it held is replaced.
        report: As report.json holds it, see registration/report.py; parts may be missing.
        quality: {"structures": {name: {"dice", "hd95", "assd": [before, after]}}, "points": {name: [before,
            after]}}; None or NaN is unknown.
    """
    columns = [vtk.vtkStringArray() for _ in COLUMNS]
    for column, name in zip(columns, COLUMNS, strict=True):
        column.SetName(name)
    for row in _rows(report, quality):
        cells = (_plain(row.measure), _number(row.before), _number(row.after), row.unit)
        for column, cell in zip(columns, cells, strict=True):
            column.InsertNextValue(cell)
    data = vtk.vtkTable()
    for column in columns:
        data.AddColumn(column)
    modifying = table.StartModify()
    table.SetAndObserveTable(data)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetUseFirstColumnAsRowHeader(True)
    table.SetLocked(True)
    table.EndModify(modifying)


def _rows(report: Mapping[str, object], quality: Mapping[str, object]) -> Iterator[_Row]:
    similarity = report.get("local_ncc") or {}
    yield _Row("Similarity (local NCC)", similarity.get("before"), similarity.get("after"), "")
    jacobian = report.get("jacobian") or {}
    yield _Row("Folding", None, jacobian.get("folding_percent"), "%")
    yield _Row("Jacobian determinant, smallest", None, jacobian.get("minimum"), "")
    yield _Row("Jacobian determinant, largest", None, jacobian.get("maximum"), "")
    displacement = report.get("displacement_mm") or {}
    if displacement:
        yield _Row("Displacement, mean", None, displacement.get("mean_mm"), "mm")
        yield _Row("Displacement, largest", None, displacement.get("maximum_mm"), "mm")
    structures = quality.get("structures") or {}
    for name, measures in structures.items():
        for key, title, unit in _MEASURES:
            yield _Row(f"{title}, {name}", *measures[key], unit)
    if len(structures) > 1:
        for key, title, unit in _MEASURES:
            pairs = [measures[key] for measures in structures.values()]
            yield _mean(title, pairs, "structures", unit)
    points = quality.get("points") or {}
    for name, pair in points.items():
        yield _Row(f"Target registration error, {name}", *pair, "mm")
    if len(points) > 1:
        yield _mean("Target registration error", list(points.values()), "points", "mm")


def _mean(title: str, pairs: Sequence[Sequence[float | None]], what: str, unit: str) -> _Row:
    known = [pair for pair in pairs if all(_is_known(value) for value in pair)]
    count = f"{len(known)}" if len(known) == len(pairs) else f"{len(known)} of {len(pairs)}"
    before, after = (
        (sum(values) / len(known) for values in zip(*known, strict=True)) if known else (None, None)
    )
    return _Row(f"{title}, mean of {count} {what}", before, after, unit)


def _is_known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _number(value: float | None) -> str:
    """Returns a number with three decimals, more where it would read as nothing though it is not."""
    if not _is_known(value):
        return ""
    text = f"{value:.3f}"
    return f"{value:.2g}" if float(text) == 0 and value != 0 else text


def _plain(name: str) -> str:
    """Returns a name without what the table's file format gives a meaning of its own."""
    return " ".join(name.replace('"', "'").split())
