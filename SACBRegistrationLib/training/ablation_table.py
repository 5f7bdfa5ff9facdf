"""The table of an ablation, with the columns of the paper's Tables 3 and 4."""

import csv
import io
from collections.abc import Sequence

from SACBRegistrationLib.training.ablation import AblationRow

_WITH, _WITHOUT, _UNTOLD = "x", "-", "-"
_LEVEL_COLUMNS = tuple(f"Scale {level}" for level in (5, 4, 3, 2))
_MEANS = {"Spatial": "spatial", "Channel": "channel", "Mix": "mixed"}
_SCORES = ("Dice", "|J|<0 %", "Memory (MiB)", "Training (s)")


def table_rows(rows: Sequence[AblationRow]) -> list[dict[str, str]]:
    """Returns the table: column to text for every row.

    Where the feature mean differs between the rows, the columns are those of Table 4, otherwise of Table 3;
    memory and time stand in both. Memory is "-" on a CPU, N where no level has a block.

    Args:
        rows: What the variants reached.
    """
    by_mean = len({row.variant.feature_mean for row in rows}) > 1
    return [{**(_means(row) if by_mean else _levels(row)), **_scores(row)} for row in rows]


def markdown_table(rows: Sequence[AblationRow]) -> str:
    """Returns the table in Markdown, which reads well in a terminal, too."""
    content = table_rows(rows)
    if not content:
        return ""
    columns = list(content[0])
    lines = [columns, *([row[column] for column in columns] for row in content)]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def csv_table(rows: Sequence[AblationRow]) -> str:
    """Returns the table as CSV."""
    content = table_rows(rows)
    if not content:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(content[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    return text.getvalue()


def _levels(row: AblationRow) -> dict[str, str]:
    levels = row.variant.sacb_levels
    marks = [_WITH if int(column[-1]) in levels else _WITHOUT for column in _LEVEL_COLUMNS]
    clusters = str(row.variant.clusters) if levels else _UNTOLD
    return {"N": clusters, **dict(zip(_LEVEL_COLUMNS, marks, strict=True))}


def _means(row: AblationRow) -> dict[str, str]:
    return {name: _WITH if mean == row.variant.feature_mean else _WITHOUT for name, mean in _MEANS.items()}


def _scores(row: AblationRow) -> dict[str, str]:
    memory = f"{row.memory_mib:.0f}" if row.memory_mib else _UNTOLD
    texts = (f"{row.dice:.4f}", f"{row.folding_percent:.3f}", memory, f"{row.training_seconds:.3f}")
    return dict(zip(_SCORES, texts, strict=True))
