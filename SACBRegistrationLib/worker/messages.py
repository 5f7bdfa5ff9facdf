"""What a registration process says while it works: one JSON object per line on standard output."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from SACBRegistrationLib.worker.arrays import ArrayFile
from SACBRegistrationLib.worker.json_checks import (
    as_measures,
    as_number,
    as_numbers,
    as_object,
    as_text,
    only_keys,
    parse_object,
)

FAILURE_KINDS = frozenset(("user", "memory", "error"))
_MEASURES = frozenset(("dice", "hd95", "assd"))
_SECONDS_BETWEEN = 0.05
_LONGEST_TEXT = 20_000
_VECTORS = frozenset(("displacement_field", "inverse_field"))
_SCALARS = re.compile(r"warped|magnitude|jacobian|clusters_[1-5]_(fixed|moving)")


class UnusableResultError(ValueError):
    """A process says that it is done, with a result that cannot be used."""


@dataclass(frozen=True)
class WorkerResult:
    """What a registration process has made; its volumes lie in the run's folder.

    Attributes:
        images: "displacement_field", and as asked for "warped", "magnitude" (mm), "jacobian",
            "inverse_field" and "clusters_<level>_<role>"; LPS mm.
        report: What report.json holds.
        quality: {"structures": {name: {"dice" | "hd95" | "assd": [before, after]}},
            "points": {name: [before, after]}}; distances in mm, None where there is none.
        ranges: Scalar image's key to its [lowest, highest] value.
    """

    images: Mapping[str, ArrayFile]
    report: dict
    quality: dict
    ranges: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict:
        """Returns the result as a JSON object."""
        return {
            "images": {key: image.to_json() for key, image in self.images.items()},
            "report": self.report,
            "quality": self.quality,
            "ranges": {key: list(values) for key, values in self.ranges.items()},
        }

    @classmethod
    def from_json(cls, document: object) -> "WorkerResult":
        """Returns the result in a JSON object.

        Raises:
            ValueError: When anything is missing, unknown or impossible.
        """
        document = as_object(document, "the result")
        only_keys(document, {"images", "report", "quality", "ranges"}, "the result")
        images = {
            key: _image(key, image) for key, image in as_object(document.get("images"), "images").items()
        }
        if "displacement_field" not in images:
            raise ValueError("the displacement field is missing")
        if len({image.name.lower() for image in images.values()}) != len(images):
            raise ValueError("two volumes share one file")
        ranges = as_object(document.get("ranges"), "ranges")
        only_keys(ranges, set(images), "ranges")
        return cls(
            images=images,
            report=as_object(document.get("report"), "the report"),
            quality=_quality(document.get("quality")),
            ranges={key: as_numbers(values, "a range", 2) for key, values in ranges.items()},
        )


@dataclass(frozen=True)
class ProgressMessage:
    """How far the work is: fraction in [0, 1] and the stage's name."""

    fraction: float
    stage: str


@dataclass(frozen=True)
class LogMessage:
    """A line for the log."""

    level: str
    text: str


@dataclass(frozen=True)
class NoteMessage:
    """A sentence for the user while the work goes on."""

    text: str


@dataclass(frozen=True)
class DoneMessage:
    """The work is done."""

    result: WorkerResult


@dataclass(frozen=True)
class FailedMessage:
    """The work has failed: one of FAILURE_KINDS and a sentence for the user."""

    kind: str
    message: str


Message = ProgressMessage | LogMessage | NoteMessage | DoneMessage | FailedMessage


def parse_message(line: bytes) -> Message:
    """Returns the message in a line.

    Raises:
        UnusableResultError: When the line says that the work is done and its result cannot be used.
        ValueError: When the line is no message.
    """
    document = parse_object(line)
    kind = document.get("type")
    if kind == "progress":
        fraction = as_number(document.get("fraction"), "the fraction")
        return ProgressMessage(min(max(fraction, 0.0), 1.0), _text(document, "stage")[:200])
    if kind == "log":
        return LogMessage(_text(document, "level")[:20], _text(document, "text"))
    if kind == "note":
        return NoteMessage(_text(document, "text"))
    if kind == "done":
        try:
            return DoneMessage(WorkerResult.from_json(document.get("result")))
        except ValueError as error:
            raise UnusableResultError(str(error)) from error
    if kind == "failed":
        failure = _text(document, "kind")
        if failure not in FAILURE_KINDS or not _text(document, "message").strip():
            raise ValueError("a failure has an unknown kind or no sentence")
        return FailedMessage(failure, _text(document, "message"))
    raise ValueError("the line is no known message")


class MessageWriter:
    """Writes messages, one line each; may be used from any thread.

    Progress is passed on at most twenty times a second, but for the first of each stage.
    """

    def __init__(self, stream: BinaryIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._shown: tuple[float, str] | None = None

    def progress(self, fraction: float, stage: str) -> None:
        """Says how far the work is, unless that was said a moment ago."""
        now = self._clock()
        if self._shown is not None:
            last, shown = self._shown
            if shown == stage and now - last < _SECONDS_BETWEEN:
                return
        self._shown = (now, stage)
        self._write({"type": "progress", "fraction": float(fraction), "stage": stage})

    def log(self, level: str, text: str) -> None:
        """Says something for the log."""
        self._write({"type": "log", "level": level, "text": text[:_LONGEST_TEXT]})

    def note(self, text: str) -> None:
        """Says something to the user while the work goes on."""
        self._write({"type": "note", "text": text})

    def done(self, result: WorkerResult) -> None:
        """Says that the work is done."""
        self._write({"type": "done", "result": result.to_json()})

    def failed(self, kind: str, message: str) -> None:
        """Says that the work has failed."""
        self._write({"type": "failed", "kind": kind, "message": message})

    def _write(self, document: dict) -> None:
        line = json.dumps(document, allow_nan=False).encode("ascii") + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def _text(document: dict, key: str) -> str:
    return as_text(document.get(key), f"the message's {key}")[:_LONGEST_TEXT]


def _image(key: str, document: object) -> ArrayFile:
    image = ArrayFile.from_json(document)
    if key not in _VECTORS and not _SCALARS.fullmatch(key):
        raise ValueError(f"{key[:50]!r} is no image of a result")
    if image.grid is None or (len(image.shape) == 4) != (key in _VECTORS):
        raise ValueError(f"the image {key} has no grid or another number of components")
    if key in _VECTORS and not image.dtype.startswith("float"):
        raise ValueError(f"the image {key} holds whole numbers")
    if key.startswith("clusters") and image.dtype.startswith("float"):
        raise ValueError(f"the image {key} holds no whole numbers")
    return image


def _quality(document: object) -> dict:
    document = as_object(document, "the quality")
    only_keys(document, {"structures", "points"}, "the quality")
    structures = {}
    for name, measures in as_object(document.get("structures", {}), "the structures").items():
        only_keys(as_object(measures, "a structure"), _MEASURES, "a structure")
        structures[name] = {measure: as_measures(measures.get(measure), measure) for measure in _MEASURES}
    points = as_object(document.get("points", {}), "the points")
    return {
        "structures": structures,
        "points": {name: as_measures(values, "a point") for name, values in points.items()},
    }
