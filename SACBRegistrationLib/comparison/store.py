"""The measurements of a comparison, kept one file each so that a run can be gone on with."""

import json
import logging
import os
from pathlib import Path

from SACBRegistrationLib.errors import UserError

logger = logging.getLogger(__name__)

_SETTINGS = "settings.json"
_RUNS = "runs"


class Store:
    """A folder of measurements.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path, settings: dict, resume: bool) -> None:
        """Opens the folder, or makes it.

        Args:
            folder: The folder.
            settings: What all measurements of the folder have in common; JSON values.
            resume: Whether measurements that it holds already may be used.

        Raises:
            UserError: When the folder holds measurements of other settings, or any without `resume`, or
                cannot be written.
        """
        self.folder = folder
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise UserError(f"The output folder {folder} is a file; give another folder.")
        file = folder / _SETTINGS
        before = _read(file)
        if before is not None and not resume:
            raise UserError(
                f"{folder} holds a comparison already; add --resume to go on with it, or give another folder."
            )
        different = [name for name in settings if before is not None and before.get(name) != settings[name]]
        if different:
            name = different[0]
            raise UserError(
                f"The comparison in {folder} was made with {name} {before.get(name)}, not {settings[name]}; "
                "give the same, or another folder."
            )
        try:
            (folder / _RUNS).mkdir(parents=True, exist_ok=True)
            _write(file, settings)
        except OSError as error:
            raise UserError(f"The output folder {folder} cannot be written; give another folder.") from error

    def get(self, pair: str, method: str, inputs: dict) -> dict | None:
        """Returns a measurement, or None when there is none of the same inputs, or only a failed one."""
        found = _read(self._file(pair, method))
        if found is None or found.get("inputs") != inputs or "failure" in found:
            return None
        return found

    def put(self, pair: str, method: str, measured: dict) -> None:
        """Keeps a measurement, which has "inputs"."""
        file = self._file(pair, method)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, measured)

    def _file(self, pair: str, method: str) -> Path:
        return self.folder / _RUNS / pair / f"{method.replace(' ', '_')}.json"


def _read(file: Path) -> dict | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        logger.warning("%s is damaged and not used.", file)
        return None
    return found if isinstance(found, dict) else None


def _write(file: Path, content: dict) -> None:
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    # A run that is killed leaves the old file or the new one.
    os.replace(beside, file)
