"""The whole study: pair after pair, what is kept of each, and the tables at the end."""

import importlib.metadata
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.benchmark.circumstances import circumstances
from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.evaluation.structural_similarity import require_scikit_image
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.progress import CancelEvent, Progress, ProgressCallback
from SACBRegistrationLib.registration.checked_settings import (
    check_modality,
    check_settings,
    weights_file,
)
from SACBRegistrationLib.registration.devices import choose_device
from SACBRegistrationLib.registration.saving import check_output_folder
from SACBRegistrationLib.study.job import PairJob, fingerprint
from SACBRegistrationLib.study.outputs import Circumstances, can_draw, picture_path, write_outputs
from SACBRegistrationLib.study.pair_list import PairFiles
from SACBRegistrationLib.study.pair_process import PairError, run_pair
from SACBRegistrationLib.study.published import AUTOMATIC, check_published
from SACBRegistrationLib.study.records import (
    RECORDS_FOLDER,
    PairRecord,
    file_name,
    read_record,
    write_record,
)
from SACBRegistrationLib.study.settings import StudySettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyOutcome:
    """What became of a study.

    Attributes:
        records: Outcomes of the pairs that ended, in the order of the list.
        pairs: How many pairs the list has.
        resumed: How many of them were done before.
        cancelled: Whether it was cancelled before the last pair.
        table: The means for a terminal; empty when no pair was measured.
    """

    records: tuple[PairRecord, ...]
    pairs: int
    resumed: int
    cancelled: bool
    table: str


def run_study(
    pairs: Sequence[PairFiles],
    settings: StudySettings,
    folder: Path,
    resume: bool = False,
    published: str = AUTOMATIC,
    progress: ProgressCallback | None = None,
    cancel: CancelEvent | None = None,
) -> StudyOutcome:
    """Registers and measures pairs, each in a process of its own, and writes everything into a folder.

    A pair that fails is recorded, and the others go on. What is finished is on the disk at once; when
    cancelled, the tables are written for that.

    Args:
        pairs: The pairs.
        settings: The choices.
        folder: Made when it does not exist.
        resume: Keeps what an earlier study in the folder measured for the same pair, files and choices.
        published: Which of the paper's tables to print beside; see `published.choose_table`.
        progress: Called with the fraction done and the stage.
        cancel: Its is_set() is asked often.

    Raises:
        UserError: When a choice or the folder cannot be used, or the folder holds a study and `resume` is
            not given; nothing has been written then.
        CancelledError: When cancelled before anything was measured.
    """
    given = all(pair.transform is not None for pair in pairs)
    preset, parameters, info = _check(settings, published, given)
    check_output_folder(folder)
    records_folder = folder / RECORDS_FOLDER
    if not resume and records_folder.is_dir() and any(records_folder.glob("*.json")):
        raise UserError(
            f"The folder {folder} holds an evaluation; give --resume to go on with it, or another folder."
        )
    where = Circumstances(_machine(settings), preset, parameters, info, published=published, given=given)
    marks = {pair.name: fingerprint(pair, settings) for pair in pairs}
    kept = _kept(records_folder, marks) if resume else {}
    drawn = can_draw()
    if not drawn:
        logger.warning("Pictures are left out because matplotlib is not installed.")
    whole = Progress(progress, cancel)
    records: list[PairRecord] = []
    cancelled = False
    for number, pair in enumerate(pairs):
        if pair.name in kept:
            records.append(kept[pair.name])
        elif not cancelled:
            part = _part(whole, number, len(pairs))
            try:
                records.append(_measure(pair, marks[pair.name], settings, folder, drawn, part))
            except CancelledError:
                cancelled = True
    if cancelled and not records:
        raise CancelledError("The evaluation was cancelled.")
    pictures = {pair.name: picture_path(folder, pair.name) for pair in pairs}
    pictures = {name: path for name, path in pictures.items() if path.is_file()}
    table = write_outputs(folder, records, pictures, settings, where)
    return StudyOutcome(tuple(records), len(pairs), len(kept), cancelled, table)


def _check(
    settings: StudySettings, published: str, given: bool
) -> tuple[Preset, int | None, Mapping[str, object] | None]:
    """Checks the choices before any pair; returns the preset, and the network's size and metadata."""
    preset = check_settings(settings.registration)
    check_published(published)
    if settings.ssim:
        require_scikit_image()
    if given:
        return preset, None, None
    choose_device(settings.registration.device)
    path = weights_file(settings.registration, preset)
    if path is None:
        return preset, None, None
    network = load_checkpoint(path)
    check_modality(network.info, preset)
    return preset, sum(value.numel() for value in network.parameters()), dict(network.info)


def _machine(settings: StudySettings) -> dict:
    found = circumstances(0)
    if settings.ssim:
        found["versions"]["scikit-image"] = importlib.metadata.version("scikit-image")
    return found


def _kept(folder: Path, marks: Mapping[str, str]) -> dict[str, PairRecord]:
    """Returns the measured pairs of an earlier study whose files and choices are the same, by name."""
    found = {name: read_record(folder / f"{file_name(name)}.json") for name in marks}
    return {
        name: record
        for name, record in found.items()
        if record is not None and record.error is None and record.fingerprint == marks[name]
    }


def without_paths(sentence: str, pair: PairFiles) -> str:
    """Returns a sentence about a pair without its files' paths, which often hold the names of patients."""
    paths = {os.path.abspath(path): role for role, path in pair.files.items()}
    # A folder's path may begin another one.
    for full, role in sorted(paths.items(), key=lambda item: -len(item[0])):
        sentence = sentence.replace(f" ({full})", "").replace(full, role.replace("_", " "))
    return sentence


def _part(whole: Progress, number: int, count: int) -> Progress:
    """Returns the progress of one pair, whose stages say which pair it is."""

    def show(fraction: float, stage: str) -> None:
        if whole.callback is not None:
            whole.callback(fraction, f"{number + 1} of {count}: {stage}")

    return Progress(show, whole.cancel, number / count, (number + 1) / count)


def _measure(
    pair: PairFiles, mark: str, settings: StudySettings, folder: Path, drawn: bool, progress: Progress
) -> PairRecord:
    """Measures a pair and keeps the outcome on the disk."""
    job = PairJob(pair.name, pair.files, settings, drawn)
    path = folder / RECORDS_FOLDER / f"{file_name(pair.name)}.json"
    picture = picture_path(folder, pair.name)
    begun = time.perf_counter()
    missing = [each for each in (folder.absolute(), *folder.absolute().parents) if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        measured = run_pair(job, progress, picture if drawn else None)
        spent = time.perf_counter() - begun
        record = PairRecord(pair.name, mark, None, {**measured, "process_seconds": spent})
    except PairError as error:
        logger.warning("Line %s, %s: %s", pair.line, pair.name, error)
        record = PairRecord(pair.name, mark, without_paths(str(error), pair), None)
        picture.unlink(missing_ok=True)
    except BaseException:
        # Nothing was measured: the disk is left as it was.
        if missing:
            shutil.rmtree(missing[-1], ignore_errors=True)
        raise
    try:
        write_record(record, path)
    except OSError as error:
        raise UserError(
            f"The pair {pair.name} could not be kept in {folder} ({error.strerror}); check that the disk has "
            "room, and give --resume."
        ) from error
    return record
