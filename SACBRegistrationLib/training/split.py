"""Which scans a network is trained, validated and tested on: a CSV or JSON file, or folders of pickles."""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import MOST_SHOWN, shown

PICKLE_SUFFIX = ".pkl"
MOST_BYTES = 1 << 24

_PARTS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "validation": "validation",
    "test": "test",
    "atlas": "atlas",
}
_FOLDERS = ("train", "val", "test")


@dataclass(frozen=True)
class Subject:
    """One scan.

    Attributes:
        image: Its file, or a pickle that holds its labels too.
        labels: Its label map, or None.
    """

    image: Path
    labels: Path | None = None

    @property
    def pickled(self) -> bool:
        """Whether image and labels lie in one pickle."""
        return self.image.name.lower().endswith(PICKLE_SUFFIX)


@dataclass(frozen=True)
class Split:
    """The scans of a training.

    Attributes:
        training: Scans to train on.
        validation: Scans to choose the best checkpoint by.
        test: Scans to score the finished network on.
        atlas: The moving image of every pair; None pairs every scan with every other.
    """

    training: tuple[Subject, ...]
    validation: tuple[Subject, ...] = ()
    test: tuple[Subject, ...] = ()
    atlas: Subject | None = None

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """All of them, the atlas first."""
        first = () if self.atlas is None else (self.atlas,)
        return (*first, *self.training, *self.validation, *self.test)


def read_split(file: Path | None, folder: Path | None) -> Split:
    """Reads a split.

    A CSV file has the columns image, labels (may be empty) and split: train, validation (or val), test or
    atlas. A JSON file has these as keys, each with a list (the atlas alone may be a single entry) of file
    names or of {"image": ..., "labels": ...}. Without a file the folder is as TransMorph publishes it:
    pickles in Train, Val and Test, and atlas.pkl beside them where there is one.

    Args:
        file: The CSV or JSON file, or None.
        folder: What file names are relative to; None takes the folder of `file`.

    Raises:
        UserError: When something is missing, a name is unknown, a file stands in two parts, or there is too
            little to train on.
    """
    if file is None and folder is None:
        raise UserError("Training on scans needs a split; give --split FILE or --data FOLDER.")
    if folder is not None and not folder.is_dir():
        raise UserError(f"The folder of scans {folder} does not exist; give the folder that holds them.")
    source = folder if file is None else file
    if file is None:
        parts = _published_folders(folder)
    else:
        entries = _json_entries(file) if file.suffix.lower() == ".json" else _csv_entries(file)
        parts = _sorted_parts(entries, file, folder or file.parent)
    return _checked(parts, source)


def _published_folders(folder: Path) -> dict[str, list[Subject]]:
    parts: dict[str, list[Subject]] = {name: [] for name in ("training", "validation", "test", "atlas")}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.lower() in _FOLDERS:
            files = sorted(p for p in path.iterdir() if p.suffix.lower() == PICKLE_SUFFIX)
            parts[_PARTS[path.name.lower()]] += [Subject(p) for p in files]
        elif path.name.lower() == "atlas" + PICKLE_SUFFIX:
            parts["atlas"].append(Subject(path))
    return parts


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"The split {file} is too large; give a CSV or JSON file of file names.")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"The split {file} cannot be read ({error.strerror or error}); check it.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The split {file} is no text in UTF-8; save it as CSV or JSON.") from error


def _csv_entries(file: Path) -> Iterable[tuple[str, Mapping[str, str]]]:
    try:
        rows = list(csv.DictReader(_text(file).splitlines(), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UserError(f"The split {file} is no CSV file ({error}); repair it.") from error
    for row in rows:
        if not {"image", "split"} <= set(row):
            raise UserError(
                f"The split {file} lacks the columns image and split; name them in its first line."
            )
        if None in row or None in row.values():
            raise UserError(f"The split {file} has a row of another length than its first line; repair it.")
        yield row["split"], row


def _json_entries(file: Path) -> Iterable[tuple[str, object]]:
    try:
        document = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"The split {file} is no JSON file ({str(error)[:100]}); repair it.") from error
    if not isinstance(document, dict):
        raise UserError(f'The split {file} must be an object with the keys "train" and "validation".')
    for part, entries in document.items():
        for entry in entries if isinstance(entries, list) else [entries]:
            yield part, {"image": entry} if isinstance(entry, str) else entry


def _sorted_parts(entries, file: Path, folder: Path) -> dict[str, list[Subject]]:
    parts: dict[str, list[Subject]] = {name: [] for name in ("training", "validation", "test", "atlas")}
    for name, entry in entries:
        part = _PARTS.get(name.strip().lower())
        if part is None:
            raise UserError(
                f'The split {file} has the unknown part "{shown(name)}"; use train, validation, test or '
                "atlas."
            )
        values = entry if isinstance(entry, Mapping) else {}
        image, labels = values.get("image"), values.get("labels") or values.get("label") or None
        if not isinstance(image, str) or not image.strip() or not isinstance(labels, str | None):
            raise UserError(
                f'The split {file} has an entry in "{shown(name)}" that names no image; repair it.'
            )
        parts[part].append(
            Subject(folder / image.strip(), None if labels is None else folder / labels.strip())
        )
    return parts


def _checked(parts: dict[str, list[Subject]], source: Path) -> Split:
    atlases = parts["atlas"]
    if len(atlases) > 1:
        raise UserError(f"The split {source} names {len(atlases)} atlases; name one or none.")
    if not parts["training"]:
        raise UserError(f"The split {source} names no scan to train on; name some as train.")
    for name, most in (("training", 2), ("validation", 2), ("test", 2)):
        if not atlases and len(parts[name]) == 1 < most:
            raise UserError(
                f"The split {source} names a single {name} scan, which makes no pair; name two, or an atlas."
            )
    seen: dict[Path, str] = {}
    for name, subjects in parts.items():
        for subject in subjects:
            _check_files(subject, source)
            key = subject.image.resolve()
            if key in seen:
                where = name if seen[key] == name else f"{seen[key]} and {name}"
                twice = shown(subject.image, MOST_SHOWN)
                raise UserError(f"The split {source} names {twice} twice ({where}); name it once.")
            seen[key] = name
    return Split(
        tuple(parts["training"]),
        tuple(parts["validation"]),
        tuple(parts["test"]),
        atlases[0] if atlases else None,
    )


def _check_files(subject: Subject, source: Path) -> None:
    for path in (subject.image, subject.labels):
        # os.path, as pathlib raises for a name that no file can have.
        if path is not None and not os.path.exists(path):
            raise UserError(
                f"The file {shown(path, MOST_SHOWN)} of the split {source} does not exist; correct the split "
                "or --data."
            )
