"""The metadata block of a checkpoint: plain data of a bounded size, with the types that readers rely on."""

import math

MOST_TEXT = 10_000
MOST_ITEMS = 1_000
MOST_DEPTH = 6


def offending_info_key(info: dict) -> str | None:
    """Returns the first key whose value is not plain data or not of its type, None when all is well.

    Plain data is text, numbers, booleans, None, and lists and dictionaries of these, not too large.

    Args:
        info: The metadata block, from a file or to be written to one.
    """
    for key, value in info.items():
        if not isinstance(key, str) or not _is_plain(value) or not _CHECKS.get(key, _anything)(value):
            return str(key)[:80]
    return "info" if _count(info) > MOST_ITEMS else None


def _is_plain(value: object, depth: int = 0) -> bool:
    # Exact types: a subclass, such as a number of numpy, needs its own code to be read back.
    if value is None or type(value) in (bool, int, float):
        return True
    if type(value) is str:
        return len(value) <= MOST_TEXT
    if depth >= MOST_DEPTH or type(value) not in (list, tuple, dict) or len(value) > MOST_ITEMS:
        return False
    if type(value) is dict:
        return all(type(key) in (str, int) and _is_plain(key) for key in value) and _is_plain(
            list(value.values()), depth
        )
    return all(_is_plain(item, depth + 1) for item in value)


def _count(value: object) -> int:
    if isinstance(value, dict):
        return sum(1 + _count(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(1 + _count(item) for item in value)
    return 0


def _anything(value: object) -> bool:
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _numbers(count: int):
    """Returns a check for so many positive finite numbers."""

    def check(value: object) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) == count
            and all(type(item) in (int, float) and math.isfinite(item) and item > 0 for item in value)
        )

    return check


def _is_range(value: object) -> bool:
    return _numbers(2)(value) and value[0] <= value[1]


def _is_axes(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == 3
        and all(sum(letter in pair for letter in value) == 1 for pair in ("LR", "PA", "SI"))
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


_CHECKS = {
    "preset": _is_text,
    "training_data": _is_text,
    "licence": _is_text,
    "version": _is_text,
    "axes": _is_axes,
    "spacing_mm": _is_range,
    "extent_mm": _numbers(3),
    "largest_extent_mm": _numbers(3),
    "grid_size": _numbers(3),
    "symmetric_passes": _is_count,
}
