"""Tables of numbers that grow by a row at a time and survive a restart."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


class MetricsTable:
    """A CSV file whose first column is "step".

    Args:
        path: The file.
        columns: Names of all columns; the first is "step".
        step: Rows of an earlier run are kept up to this step: what came after it is computed again.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], step: int = 0) -> None:
        self.path = path
        self.columns = columns
        rows = []
        if step > 0 and path.is_file():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if _step_of(row) <= step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(rows)

    def add(self, row: Sequence[float]) -> None:
        """Appends the values of a row, in the order of the columns."""
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)


def _step_of(row: Mapping[str, str]) -> float:
    # The last row may be cut short when the machine stopped; it counts as never written.
    text = row.get("step") or ""
    return int(text) if text.isdigit() and None not in row.values() else float("inf")
