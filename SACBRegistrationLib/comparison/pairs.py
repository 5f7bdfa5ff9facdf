"""The list of pairs to compare on."""

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.file_names import is_device

_ROLES = ("fixed", "moving", "fixed_labels", "moving_labels")


@dataclass(frozen=True)
class Pair:
    """Two images and their label maps.

    Attributes:
        name: Unlike that of every other pair.
        fixed: Image file, or folder of a DICOM series.
        moving: Likewise.
        fixed_labels: Label map of the fixed image.
        moving_labels: Label map of the moving image.
    """

    name: str
    fixed: Path
    moving: Path
    fixed_labels: Path
    moving_labels: Path

    @property
    def slug(self) -> str:
        """The name as a folder may be called."""
        slug = re.sub(r"[^A-Za-z0-9.-]+", "_", self.name).strip("._") or "pair"
        return f"pair_{slug}" if is_device(slug) else slug


def read_pairs(path: Path) -> list[Pair]:
    """Reads a CSV file with the columns fixed, moving, fixed_labels, moving_labels and, optionally, name.

    Args:
        path: The file; paths in it may be relative to its folder.

    Raises:
        UserError: When the file cannot be read, lacks a column, or names files that do not exist.
    """
    if not os.path.isfile(path):
        raise UserError(f"There is no file {path}; give a CSV file of pairs.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [row for row in reader if any((value or "") for value in row.values())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV file of pairs; save it as UTF-8 text.") from error
    missing = [role for role in _ROLES if role not in columns]
    if missing:
        raise UserError(f"{path} has no column {missing[0]}; its first line must name {', '.join(_ROLES)}.")
    if not rows:
        raise UserError(f"{path} names no pairs; add a line for each.")
    pairs = [_pair(row, path, number) for number, row in enumerate(rows, start=2)]
    seen: dict[str, str] = {}
    for pair in pairs:
        # Many disks do not tell small letters from capital ones.
        if pair.slug.lower() in seen:
            raise UserError(f'{path} has two pairs called "{pair.name}"; give each its own in a column name.')
        seen[pair.slug.lower()] = pair.name
    return pairs


def _pair(row: dict[str, str | None], path: Path, number: int) -> Pair:
    files = {}
    for role in _ROLES:
        text = (row[role] or "").strip()
        if not text:
            raise UserError(f"{path} names no {role} in line {number}; every pair needs both label maps.")
        files[role] = path.absolute().parent / text
        if not os.path.exists(files[role]):
            raise UserError(f"The {role} file {files[role]}, line {number} of {path}, does not exist.")
    name = (row.get("name") or "").strip()
    return Pair(name or f"{_stem(files['fixed'])} from {_stem(files['moving'])}", **files)


def _stem(path: Path) -> str:
    name = path.name[: -len(".gz")] if path.name.endswith(".gz") else path.name
    return Path(name).stem
