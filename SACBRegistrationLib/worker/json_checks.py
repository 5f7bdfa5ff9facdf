"""Reading JSON that nobody vouches for: each function returns a value of one kind or raises ValueError."""

import json
import math
from collections.abc import Mapping


def parse_object(text: str | bytes) -> dict:
    """Returns the JSON object in a text.

    Raises:
        ValueError: When it is no JSON, no object, or holds NaN or infinity, which are no JSON.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    return as_object(value, "the message")


def as_object(value: object, what: str) -> dict:
    """Returns a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    return value


def as_list(value: object, what: str, length: int | None = None) -> list:
    """Returns a JSON list, of a certain length when one is given."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise ValueError(f"{what} is no list" + ("" if length is None else f" of {length}"))
    return value


def as_text(value: object, what: str) -> str:
    """Returns a text."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is no text")
    return value


def as_whole_number(value: object, what: str) -> int:
    """Returns a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} is no whole number")
    return value


def as_number(value: object, what: str) -> float:
    """Returns a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what} is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{what} is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{what} is not finite")
    return number


def as_numbers(value: object, what: str, length: int) -> tuple[float, ...]:
    """Returns a certain number of finite numbers."""
    return tuple(as_number(item, what) for item in as_list(value, what, length))


def as_measures(value: object, what: str) -> list[float | None]:
    """Returns a figure before and after, None where there is none."""
    return [None if item is None else as_number(item, what) for item in as_list(value, what, 2)]


def only_keys(document: Mapping, known: set[str] | frozenset[str], what: str) -> None:
    """Raises ValueError when an object has a key that is not known."""
    unknown = set(document) - known
    if unknown:
        raise ValueError(f"{what} has the unknown entry {sorted(unknown)[0][:50]!r}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
