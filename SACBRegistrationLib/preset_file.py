"""Reads a preset file and says in one sentence what is wrong with it."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import is_plain_text, shown

MOST_BYTES = 1 << 20
"""Presets are a few kilobytes; a larger file was given by mistake."""

_MOST_LETTERS = 10_000
_MODALITIES = ("mr", "ct")
_ALIGNMENTS = ("none", "rigid", "affine")
_KINDS = ("percentile", "window")
_REQUIRED = ("name", "modality", "size", "spacing", "axes", "normalization")
_DEFAULTS: dict[str, Any] = {
    "title": None,
    "description": "",
    "clusters": 7,
    "alignment": "affine",
    "weights": None,
    "refine_steps": 30,
    "refine_network": False,
    "training_lambda": 1.0,
    "skull_stripped": False,
    "labels": {},
}


class _WrongValueError(Exception):
    """A value does not fit; the message completes the sentence 'the key ... must be ...'."""


def read_preset_file(path: Path) -> dict[str, Any]:
    """Returns the checked values of a preset file, defaults filled in; see docs/presets.md.

    Args:
        path: The JSON file.

    Returns:
        The values by the names of `Preset`'s attributes; "normalization" is a dict of kind, lower and upper.

    Raises:
        UserError: When the file is missing, unreadable, too large, not JSON, or a key is missing, unknown,
            repeated or has a value that does not fit.
    """
    document = _parse(path)
    known = (*_REQUIRED, *_DEFAULTS)
    for key in document:
        if key not in known:
            raise UserError(
                f'The preset file {path} has the unknown key "{shown(key)}"; the keys are {", ".join(known)}.'
            )
    for key in _REQUIRED:
        if key not in document:
            raise UserError(f'The preset file {path} lacks the key "{key}"; add it.')
    values = {**_DEFAULTS, **document}
    if values["title"] is None:
        values["title"] = values["name"]
    checked = {}
    for key, check in _CHECKS.items():
        try:
            checked[key] = check(values[key])
        except _WrongValueError as error:
            raise UserError(f'In the preset file {path} the key "{key}" must be {error}.') from None
    return checked


def _parse(path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise UserError(f'The preset file {path} has the key "{shown(key)}" twice; remove one.')
            found[key] = value
        return found

    def reject(constant: str) -> None:
        raise UserError(f"The preset file {path} holds {constant}, which is not a number; replace it.")

    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"The preset file {path} cannot be read ({reason}); check the path.") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"The preset file {path} is larger than 1 MiB and so no preset; check the path.")
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=reject)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"The preset file {path} is not valid JSON: {error.msg} at {place}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"The preset file {path} is not valid JSON text in UTF-8; check the path.") from error
    if not isinstance(document, dict):
        raise UserError(f"The preset file {path} must hold one JSON object with the keys of a preset.")
    return document


def _is_number(value: object) -> bool:
    # JSON's true is an int in Python, an exponent may overflow to infinity, and an int exceed every float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value):
        raise _WrongValueError("1 to 64 small letters, digits, - or _")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_LETTERS or not is_plain_text(value):
        raise _WrongValueError(f"a text of at most {_MOST_LETTERS} letters without control characters")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("true or false")
    return value


def _choice(*choices: str) -> Any:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _WrongValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))
        return value

    return check


def _whole(lowest: int, highest: int) -> Any:
    def check(value: object) -> int:
        if not _is_whole(value) or not lowest <= value <= highest:
            raise _WrongValueError(f"a whole number from {lowest} to {highest}")
        return value

    return check


def _positive(highest: float) -> Any:
    def check(value: object) -> float:
        if not _is_number(value) or not 0 < value <= highest:
            raise _WrongValueError(f"a number greater than 0 and at most {highest:g}")
        return float(value)

    return check


def _size(value: object) -> tuple[int, int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(_is_whole(side) and 16 <= side <= 1024 and side % 16 == 0 for side in value)
    ):
        raise _WrongValueError("three whole numbers from 16 to 1024, each divisible by 16")
    return tuple(value)


def _axes(value: object) -> str:
    if (
        not isinstance(value, str)
        or len(value) != 3
        or any(sum(letter in pair for letter in value) != 1 for pair in ("LR", "PA", "SI"))
    ):
        raise _WrongValueError('three letters, one each of L or R, P or A, S or I, such as "LIA"')
    return value


def _normalization(value: object) -> dict[str, Any]:
    form = 'an object with "kind", "lower" and "upper", '
    if not isinstance(value, dict) or set(value) != {"kind", "lower", "upper"}:
        raise _WrongValueError(form + "and nothing else")
    if value["kind"] not in _KINDS:
        raise _WrongValueError(form + 'with the kind "percentile" or "window"')
    lower, upper = value["lower"], value["upper"]
    if not _is_number(lower) or not _is_number(upper) or not lower < upper:
        raise _WrongValueError(form + "with two numbers, lower less than upper")
    if value["kind"] == "percentile" and not 0 <= lower < upper <= 100:
        raise _WrongValueError(form + "with percentiles from 0 to 100")
    return {"kind": value["kind"], "lower": float(lower), "upper": float(upper)}


def _weights(value: object) -> str | None:
    if value is None:
        return None
    # Asking for a name longer than any file system's raises.
    if (
        not isinstance(value, str)
        or not value.strip()
        or not is_plain_text(value)
        or any(len(part.encode()) > 255 for part in re.split(r"[/\\]", value))
        or len(value) > 4096
    ):
        raise _WrongValueError("the name or path of a weights file, or null")
    return value


def _labels(value: object) -> dict[int, str]:
    if not isinstance(value, dict):
        raise _WrongValueError("an object of label values and names")
    for key, name in value.items():
        if not re.fullmatch(r"[1-9][0-9]{0,8}", key):
            raise _WrongValueError(f'an object whose keys are whole numbers from 1, not "{shown(key)}"')
        if not isinstance(name, str) or not name.strip() or not is_plain_text(name):
            raise _WrongValueError(f"an object whose values are names, and that of {key} is not")
    return {int(key): name for key, name in value.items()}


_CHECKS = {
    "name": _name,
    "title": _text,
    "description": _text,
    "modality": _choice(*_MODALITIES),
    "size": _size,
    "spacing": _positive(50),
    "axes": _axes,
    "normalization": _normalization,
    "clusters": _whole(2, 32),
    "alignment": _choice(*_ALIGNMENTS),
    "weights": _weights,
    "refine_steps": _whole(1, 10000),
    "refine_network": _flag,
    "training_lambda": _positive(1e6),
    "skull_stripped": _flag,
    "labels": _labels,
}
