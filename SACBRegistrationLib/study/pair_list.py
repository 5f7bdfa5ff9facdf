"""Reading the list of pairs, a CSV file, with one sentence and a line number for every mistake in it."""

import csv
import io
import os
from dataclasses import dataclass, fields
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import MOST_SHOWN, shown

_REQUIRED = ("fixed", "moving", "fixed_labels", "moving_labels")
_OPTIONAL = ("name", "transform", "initial_transform", "fixed_mask", "moving_mask")
_WHAT = {
    "fixed": "fixed image",
    "moving": "moving image",
    "fixed_labels": "fixed label map",
    "moving_labels": "moving label map",
    "transform": "transform",
    "initial_transform": "initial transform",
    "fixed_mask": "fixed mask",
    "moving_mask": "moving mask",
}
# Some programs write semicolons where the comma is the decimal sign.
_DELIMITERS = (",", ";", "\t")
# Twenty thousand pairs; a table of it takes five times the room.
_LARGEST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class PairFiles:
    """One line of the list.

    Attributes:
        line: Number of the line in the file, from 1.
        name: What the pair is called in every output.
        fixed: Fixed image.
        moving: Moving image.
        fixed_labels: Label map of the fixed image.
        moving_labels: Label map of the moving image.
        transform: Finished transform or displacement field to measure instead of registering, fixed points
            to moving points, LPS mm.
        initial_transform: What the registration starts from, likewise.
        fixed_mask: Only where it is not 0 counts.
        moving_mask: Likewise, for the moving image.
    """

    line: int
    name: str
    fixed: Path
    moving: Path
    fixed_labels: Path
    moving_labels: Path
    transform: Path | None = None
    initial_transform: Path | None = None
    fixed_mask: Path | None = None
    moving_mask: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The files that are given, by their column."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if name in _WHAT and value is not None}


def read_pair_list(path: Path) -> tuple[PairFiles, ...]:
    """Returns the pairs of a CSV file (UTF-8; commas, semicolons or tabs), in its order.

    The first line names the columns; relative paths start at the CSV file's folder. A pair without a name is
    called "<fixed> from <moving>", after the names of the files without their endings.

    Raises:
        UserError: When the file is no such list, a column is missing, unknown or doubled, a cell is missing,
            a file does not exist, or two pairs share a name; with the number of the line.
    """
    text = _text(path)
    rows = _rows(path, text)
    if not rows:
        raise UserError(
            f"The list of pairs {path} is empty; its first line names the columns, {', '.join(_REQUIRED)}."
        )
    (header_line, header), *lines = rows
    columns = _columns(path, header_line, header)
    pairs: list[PairFiles] = []
    names: dict[str, int] = {}
    for line, cells in lines:
        pair = _pair(path, line, columns, cells)
        if (before := names.setdefault(pair.name.casefold(), line)) != line:
            raise UserError(
                f'Line {line} of {path} has the name "{shown(pair.name)}" of line {before}; give every pair '
                'a name of its own in the column "name".'
            )
        pairs.append(pair)
    if not pairs:
        raise UserError(f"The list of pairs {path} names no pair; give one in every line after the first.")
    return tuple(pairs)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"The list of pairs {path} cannot be read ({reason}); check the path.") from error
    if len(content) > _LARGEST_BYTES:
        raise UserError(f"The list of pairs {path} is larger than 4 MiB and so no list; check the path.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f'Line {line} of {path} is not UTF-8 text; save the list as "CSV UTF-8".') from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f'Line {line} of {path} is no text; save the list as "CSV UTF-8".')
    return text


def _rows(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Returns the lines that hold anything, with their numbers."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, begun = [], 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"Line {begun} of {path} is no line of a CSV file ({error}); check its quotation marks."
            ) from error
        if cells is None:
            return rows
        cells = [cell.strip() for cell in cells]
        if any(cells):
            rows.append((begun, cells))
        begun = reader.line_num + 1


def _columns(path: Path, line: int, header: list[str]) -> list[str]:
    columns = [name.lower() for name in header]
    known = ", ".join((*_REQUIRED, *_OPTIONAL))
    for name in columns:
        if name not in _REQUIRED + _OPTIONAL:
            raise UserError(
                f'Line {line} of {path} names the unknown column "{shown(name)}"; there are {known}.'
            )
        if columns.count(name) > 1:
            raise UserError(f'Line {line} of {path} names the column "{name}" twice; remove one.')
    for name in _REQUIRED:
        if name not in columns:
            raise UserError(f'Line {line} of {path} lacks the column "{name}"; add it.')
    return columns


def _pair(path: Path, line: int, columns: list[str], cells: list[str]) -> PairFiles:
    while len(cells) > len(columns) and not cells[-1]:
        cells = cells[:-1]
    if len(cells) > len(columns):
        raise UserError(
            f"Line {line} of {path} has {len(cells)} cells for {len(columns)} columns; put quotation marks "
            "around a cell that holds the separator."
        )
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    for name in _REQUIRED:
        if name not in given:
            raise UserError(f'Line {line} of {path} has no {_WHAT[name]}; fill in the column "{name}".')
    if "transform" in given and "initial_transform" in given:
        raise UserError(
            f"Line {line} of {path} has a transform and an initial transform; a finished transform is "
            "measured as it is, so leave one of them empty."
        )
    files = {name: path.parent / cell for name, cell in given.items() if name in _WHAT}
    for name, file in files.items():
        # os.path, as pathlib raises for what lies in a folder that may not be entered.
        if not os.path.exists(file):
            raise UserError(
                f"Line {line} of {path}: the {_WHAT[name]} ({shown(file, MOST_SHOWN)}) does not exist; check "
                "the path."
            )
    name = given.get("name") or f"{_stem(files['fixed'])} from {_stem(files['moving'])}"
    return PairFiles(line=line, name=name, **files)


def _stem(path: Path) -> str:
    """Returns a file's name without what its format adds."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] if path.suffix else path.name
