"""The SACB-Net paper's own figures, to be printed beside those of a study on the same data."""

import json
from dataclasses import dataclass

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.resources import resource_folder

AUTOMATIC, NOTHING = "auto", "none"
_FILE = "sacb-net-cvpr2025.json"


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper.

    Attributes:
        source: The paper.
        where: The table in it.
        structures: Structures that it scores.
        pairs: Pairs of its test set.
        rows: Method, Dice, HD95 (mm), ASSD (mm), folding (%), parameters and SSIM, as printed.
    """

    source: str
    where: str
    structures: int
    pairs: int
    rows: tuple[tuple[str, ...], ...]


def published_tables() -> dict[str, PublishedTable]:
    """Returns the paper's tables by the preset for their data."""
    path = resource_folder("Published") / _FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        preset: PublishedTable(
            source=document["source"],
            where=table["where"],
            structures=table["structures"],
            pairs=table["pairs"],
            rows=tuple(tuple(row) for row in table["rows"]),
        )
        for preset, table in document["tables"].items()
    }


def check_published(choice: str) -> None:
    """Checks a choice of table.

    Raises:
        UserError: When there is no such table.
    """
    known = (AUTOMATIC, NOTHING, *published_tables())
    if choice not in known:
        raise UserError(f'The paper has no table "{choice}"; choose one of {", ".join(known)}.')


def choose_table(choice: str, preset: Preset, labels: frozenset[int], pairs: int) -> PublishedTable | None:
    """Returns the table to print, or None.

    Args:
        choice: A preset's name, NOTHING, or AUTOMATIC: the preset's own table where exactly its structures
            were scored in as many pairs as the paper's test set has. Nothing can tell whose scans they are.
        preset: The study's preset.
        labels: Labels that were scored.
        pairs: Pairs that were measured.
    """
    if choice == NOTHING:
        return None
    tables = published_tables()
    if choice != AUTOMATIC:
        return tables[choice]
    table = tables.get(preset.name)
    same = table is not None and pairs == table.pairs and labels == frozenset(preset.labels)
    return table if same else None
