"""What a pair's process is told, what it leaves, and by what an outcome is known to be of the same work."""

import hashlib
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

from SACBRegistrationLib import __version__
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.checked_settings import weights_file
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.study.pair_list import PairFiles
from SACBRegistrationLib.study.settings import StudySettings

JOB_FILE = "job.json"
OUTCOME_FILE = "outcome.json"
PICTURE_FILE = "pair.png"


@dataclass(frozen=True)
class PairJob:
    """The work of one process.

    Attributes:
        name: The pair's name, for the picture.
        files: Paths by the columns of the list of pairs.
        settings: The study's.
        picture: Whether to draw the pair.
    """

    name: str
    files: dict[str, Path]
    settings: StudySettings
    picture: bool

    def write(self, folder: Path) -> None:
        """Writes the job into the process's folder."""
        document = {
            "name": self.name,
            "files": {role: os.path.abspath(path) for role, path in self.files.items()},
            "settings": self.settings.to_json(),
            "picture": self.picture,
        }
        (folder / JOB_FILE).write_text(json.dumps(document), encoding="utf-8")


def read_job(folder: Path) -> PairJob:
    """Returns the job that `PairJob.write` left in a folder."""
    document = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
    chosen = document["settings"]
    registration = chosen["registration"]
    if isinstance(registration["clusters"], dict):
        # JSON has texts for keys.
        registration["clusters"] = {int(level): n for level, n in registration["clusters"].items()}
    settings = StudySettings(
        registration=RegistrationSettings(**registration),
        labels=None if chosen["labels"] is None else tuple(chosen["labels"]),
        ssim=chosen["ssim"],
    )
    files = {role: Path(path) for role, path in document["files"].items()}
    return PairJob(document["name"], files, settings, document["picture"])


def fingerprint(pair: PairFiles, settings: StudySettings) -> str:
    """Returns a text that changes when the pair, a file of it or a choice does, and tells nothing about them.

    Files are known by path, size and time of change, the weights and the preset by their content.
    """
    preset = load_preset(settings.registration.preset)
    weights = weights_file(settings.registration, preset)
    parts = {
        "version": __version__,
        "settings": settings.to_json(),
        "preset": {item.name: repr(getattr(preset, item.name)) for item in fields(preset)},
        "weights": None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest(),
        "name": pair.name,
        "files": {role: _state(path) for role, path in pair.files.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> list:
    status = path.stat()
    inside = sorted(entry.name for entry in os.scandir(path)) if path.is_dir() else []
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns, inside]
