"""Tables of texts, for a terminal or a Markdown file."""

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows, text_columns: int = 2) -> list[str]:
    """Returns the lines of a table for a terminal, columns two blanks apart.

    Args:
        rows: The header and the rows, all of one length.
        text_columns: Number of leading columns that hold words and start at the left; numbers end at the
            right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(rows: Rows, text_columns: int = 2) -> list[str]:
    """Returns the lines of the same table in Markdown; arguments as for `aligned`."""
    header, *others = rows
    rule = tuple("---" if i < text_columns else "---:" for i in range(len(header)))
    # A bar in a cell would begin the next one.
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in (header, rule, *others))
    return ["| " + " | ".join(row) + " |" for row in escaped]
