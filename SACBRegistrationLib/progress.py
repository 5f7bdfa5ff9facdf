"""How long work reports its progress and learns that it was cancelled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from SACBRegistrationLib.errors import CancelledError

ProgressCallback = Callable[[float, str], None]
"""Called with the fraction done in [0, 1] and the name of the stage."""


class CancelEvent(Protocol):
    """What is asked whether to stop; threading.Event and multiprocessing.Event fit."""

    def is_set(self) -> bool:
        """Returns whether the work is to stop."""
        ...


@dataclass(frozen=True)
class Progress:
    """Progress of one stage, mapped to a part of the whole.

    Attributes:
        callback: Receives (fraction of the whole, stage name), or None.
        cancel: Asked at every report, or None.
        start: Fraction of the whole at which this stage begins.
        end: Fraction of the whole at which this stage ends.
        stage: Name of the stage, for people.
    """

    callback: ProgressCallback | None = None
    cancel: CancelEvent | None = None
    start: float = 0.0
    end: float = 1.0
    stage: str = ""

    def part(self, start: float, end: float, stage: str) -> "Progress":
        """Returns the progress of a part, with start and end as fractions of this stage."""
        span = self.end - self.start
        return Progress(self.callback, self.cancel, self.start + start * span, self.start + end * span, stage)

    def report(self, fraction: float) -> None:
        """Reports the fraction of this stage that is done.

        Raises:
            CancelledError: When the cancel event is set.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise CancelledError("The registration was cancelled.")
        if self.callback is not None:
            self.callback(self.start + min(max(fraction, 0.0), 1.0) * (self.end - self.start), self.stage)
