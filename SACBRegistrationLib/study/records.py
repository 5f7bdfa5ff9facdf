"""What is kept of every pair in the study's folder, so that a study can go on where it stopped."""

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.file_names import is_device

RECORDS_FOLDER = "pairs"
MEASURES = ("dice", "hd95", "assd")
STATES = ("before", "aligned", "after")
_FORMAT = 1
_LARGEST_BYTES = 64 * 2**20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairRecord:
    """One pair's outcome.

    Attributes:
        name: The pair's name.
        fingerprint: See `job.fingerprint`.
        error: Why it could not be measured, or None.
        measured: `Measured.record`, NaN as None; None with an error.
    """

    name: str
    fingerprint: str
    error: str | None
    measured: Mapping[str, object] | None

    def to_json(self) -> dict:
        """Returns the record as a JSON object."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "error": self.error,
            "measured": self.measured,
        }


def file_name(name: str) -> str:
    """Returns the name of a pair's files without an ending, good for every disk, another for every name."""
    safe = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:80]
    if is_device(safe):
        safe = f"pair_{safe}"
    return safe if safe == name else f"{safe or 'pair'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_record(record: PairRecord, path: Path) -> None:
    """Writes a record in one stroke."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record.to_json(), allow_nan=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_record(path: Path) -> PairRecord | None:
    """Returns the record in a file, or None when there is none.

    A file that is no record, or damaged, counts as not there, with a warning in the log.
    """
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError("it is too large")
        return _checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is no record of a pair and is left out (%s).", path, error)
        return None


def _checked(document: object) -> PairRecord:
    """Returns the record in a JSON document.

    Raises:
        ValueError: When anything that is used of it is not what it must be.
    """
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError("it has another format")
    name, fingerprint, error = (document.get(key) for key in ("name", "fingerprint", "error"))
    if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(error, str | None)):
        raise ValueError("its name, fingerprint or error is no text")
    measured = document.get("measured")
    if error is None:
        _check_measured(measured)
    return PairRecord(name, fingerprint, error, measured)


def _check_measured(measured: object) -> None:
    if not isinstance(measured, dict) or not isinstance(measured.get("structures"), dict):
        raise ValueError("it has no structures")
    for label, measures in measured["structures"].items():
        if not re.fullmatch(r"-?[0-9]{1,19}", label) or not isinstance(measures, dict):
            raise ValueError("a structure has no number")
        for measure in MEASURES:
            _check_numbers(measures.get(measure), measure)
    for key in ("ssim", "ssim_anatomy", "jacobian", "stages"):
        _check_numbers(measured.get(key), key)
    for key in ("seconds", "peak_memory_bytes", "gpu_memory_bytes"):
        if not _is_number(measured.get(key)):
            raise ValueError(f"{key} is no number")
    for key in ("unscored", "notes"):
        if not isinstance(measured.get(key), list):
            raise ValueError(f"{key} is no list")
    if not isinstance(measured.get("unknown"), bool):
        raise ValueError("unknown is not true or false")


def _check_numbers(values: object, what: str) -> None:
    if not isinstance(values, dict) or not all(_is_number(value) for value in values.values()):
        raise ValueError(f"{what} does not hold numbers")


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
