"""Python functions that Qt calls: trimmed as PythonQt does, and no error of theirs is lost."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any


class SlotError(AssertionError):
    """A function that Qt called raised; PythonQt would have printed the traceback and gone on."""


class SlotErrors:
    """Collects what raised inside functions called by Qt, until somebody asks."""

    def __init__(self) -> None:
        self._tracebacks: list[str] = []

    def record(self) -> None:
        """Keeps the exception being handled and prints it, as PythonQt prints it."""
        text = traceback.format_exc()
        self._tracebacks.append(text)
        sys.stderr.write(text)

    def take(self) -> list[str]:
        """Returns the collected tracebacks and forgets them."""
        found, self._tracebacks = self._tracebacks, []
        return found

    def raise_any(self) -> None:
        """Raises SlotError with all collected tracebacks, when there are any."""
        found = self.take()
        if found:
            raise SlotError("a function called by Qt raised:\n" + "\n".join(found))


slot_errors = SlotErrors()


def accepted_arguments(function: Callable) -> int | None:
    """How many arguments PythonQt passes at most; None: all.

    Functions and bound methods get as many as they have positional parameters (those with defaults too), or
    all when they take `*args`. Anything else that can be called gets all of them.
    """
    bound = inspect.ismethod(function)
    plain = function.__func__ if bound else function
    if not inspect.isfunction(plain):
        return None
    code = plain.__code__
    if code.co_flags & inspect.CO_VARARGS:
        return None
    return max(code.co_argcount - int(bound), 0)


def guarded(function: Callable, most: int | None = None) -> Callable:
    """Wraps a Python function for Qt: arguments trimmed, errors collected.

    Args:
        function: What a module wants called.
        most: Arguments that the signal's signature has, when it has fewer than Qt passes.
    """
    accepted = accepted_arguments(function)
    limits = [limit for limit in (accepted, most) if limit is not None]
    keep = min(limits) if limits else None

    @functools.wraps(function, assigned=("__name__", "__qualname__"), updated=())
    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments[:keep])
        except Exception:
            slot_errors.record()
            return None

    return called
