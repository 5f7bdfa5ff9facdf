"""Writing a study's tables, summary and pictures into its folder."""

import importlib.util
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.registration.saving import without_nan
from SACBRegistrationLib.registration.staging import staging_folder
from SACBRegistrationLib.study.published import choose_table
from SACBRegistrationLib.study.records import RECORDS_FOLDER, PairRecord, file_name
from SACBRegistrationLib.study.settings import StudySettings
from SACBRegistrationLib.study.summary import (
    both_sides,
    over_pairs,
    over_structures,
    pair_figures,
    structure_names,
    worst_pair,
)
from SACBRegistrationLib.study.tables import markdown, method_rows, plain_text, write_pairs, write_structures

SUMMARY_FILE = "summary.json"
_NAMES = ("pairs.csv", "structures.csv", SUMMARY_FILE, "table.md", "boxplot.png", "worst.png")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Circumstances:
    """Where and with what a study ran.

    Attributes:
        machine: Date, processor, versions; see `benchmark.circumstances`.
        preset: The preset.
        parameters: Parameters of the network, or None without one.
        weights: What the checkpoint says of itself, or None.
        published: Which of the paper's tables to print; see `choose_table`.
        given: Whether every pair's transform was given.
    """

    machine: Mapping[str, object]
    preset: Preset
    parameters: int | None
    weights: Mapping[str, object] | None
    published: str
    given: bool


def write_outputs(
    folder: Path,
    records: Sequence[PairRecord],
    pictures: Mapping[str, Path],
    settings: StudySettings,
    where: Circumstances,
) -> str:
    """Writes everything that sums up a study; replaces what was there.

    Args:
        folder: The study's folder, which exists.
        records: The pairs' outcomes in the order of the list.
        pictures: Name of a pair to its picture.
        settings: The study's.
        where: See Circumstances.

    Returns:
        The table of the means for a terminal.

    Raises:
        UserError: When the folder cannot be written.
    """
    done = [record for record in records if record.error is None]
    names = structure_names(records, settings, where.preset)
    figures = over_pairs(records)
    worst = worst_pair(records)
    labels = frozenset(int(label) for record in done for label in record.measured["structures"])
    table = choose_table(where.published, where.preset, labels, len(done))
    rows = method_rows(figures, settings, where.parameters, where.given)
    summary = {
        "settings": _settings(settings, where),
        "machine": where.machine,
        "pairs": {"measured": len(done), "failed": len(records) - len(done)},
        "mean_and_sd": figures,
        "structures": over_structures(records, names),
        "worst": None if worst is None else {"name": worst.name, **pair_figures(worst)},
        "each_pair": [_whole(record) for record in records],
    }
    try:
        with staging_folder(folder) as new:
            write_pairs(new / "pairs.csv", records)
            write_structures(new / "structures.csv", records, names)
            text = json.dumps(without_nan(summary), indent=1, allow_nan=False)
            (new / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")
            title = f"{len(done)} {'pair' if len(done) == 1 else 'pairs'}, preset {where.preset.name}"
            (new / "table.md").write_text(
                markdown(rows, f"Evaluation: {title}", _notes(done, len(records), labels, where), table),
                encoding="utf-8",
            )
            _draw_boxes(new / "boxplot.png", done, labels, names, f"Dice of {title}")
            if worst is not None and worst.name in pictures:
                shutil.copyfile(pictures[worst.name], new / "worst.png")
            for name in _NAMES:
                if (new / name).exists():
                    os.replace(new / name, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
    except OSError as error:
        logger.debug("%s", error)
        raise UserError(
            f"The tables could not be written to {folder} ({error.strerror}); check that the disk has room "
            "and that no other program holds them open, and give --resume."
        ) from error
    return plain_text(rows)


def picture_path(folder: Path, name: str) -> Path:
    """Returns where the picture of the pair of this name lies."""
    return folder / RECORDS_FOLDER / f"{file_name(name)}.png"


def can_draw() -> bool:
    """Returns whether pictures can be drawn: whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _settings(settings: StudySettings, where: Circumstances) -> dict:
    """Returns the settings without the folders of a user's own preset and weights."""
    document = settings.to_json()
    chosen = document["registration"]
    chosen["preset"] = where.preset.name
    if chosen["weights"] is not None:
        chosen["weights"] = Path(chosen["weights"]).name
    return {**document, "weights_info": where.weights}


def _whole(record: PairRecord) -> dict:
    if record.error is not None:
        return {"name": record.name, "error": record.error}
    return {"name": record.name, "figures": pair_figures(record), **record.measured}


def _notes(done: Sequence[PairRecord], pairs: int, labels: frozenset[int], where: Circumstances) -> list[str]:
    notes = [
        f"{len(done)} of {pairs} pairs, {len(labels)} structures. Every figure is the mean ± standard "
        "deviation over the pairs; Dice, HD95 and ASSD of a pair are means over its structures.",
        "HD95 and ASSD in mm between surface voxels on the fixed label map's grid; |J|<0 is the part of the "
        "fixed volume where the whole transform, alignment included, folds.",
        "s: reading and registering one pair; MB: the most memory its process held until then.",
    ]
    unscored = sum(1 for record in done if record.measured["unscored"])
    if unscored:
        notes.append(f"In {unscored} pairs some of the chosen labels were not in both maps and are left out.")
    lost = sum(
        1
        for record in done
        for measures in record.measured["structures"].values()
        if measures["hd95"].get("after") is None
    )
    if lost:
        notes.append(
            f"{lost} structures of all pairs were carried out of the volume or lost between voxels: their "
            "Dice is 0, and their distances, which do not exist, are left out."
        )
    machine = where.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    notes.append(
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}, "
        f"{machine['system']}. {versions}."
    )
    return notes


def _draw_boxes(
    path: Path,
    done: Sequence[PairRecord],
    labels: frozenset[int],
    names: Mapping[int, str],
    title: str,
) -> None:
    if not can_draw():
        logger.warning("The box plot was left out because matplotlib is not installed.")
        return
    if not done:
        return
    from SACBRegistrationLib.pictures.box_plot import draw_box_plot

    # Where nothing was aligned separately, the start is the images as they were given.
    first = "aligned" if all(_has(record, "aligned") for record in done) else "before"
    groups = {}
    for name, members in both_sides(labels, names).items():
        values = {state: [] for state in (first, "after")}
        for record in done:
            for label in members:
                measures = record.measured["structures"].get(str(label))
                for state in values:
                    if measures is not None and measures["dice"].get(state) is not None:
                        values[state].append(measures["dice"][state])
        groups[name] = (values[first], values["after"])
    draw_box_plot(path, groups, (first, "registered"), title)


def _has(record: PairRecord, state: str) -> bool:
    return any(state in measures["dice"] for measures in record.measured["structures"].values())
