"""The stages of a run: their share of the progress bar and the time each took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from SACBRegistrationLib.progress import Progress


class Stages:
    """Hands out progress for one stage after the other and records seconds.

    Args:
        progress: Progress of the whole run.
        shares: Stage name to its rough share of the time, in order.

    Attributes:
        seconds: Stage name to seconds, in the order of the stages that ran.
    """

    def __init__(self, progress: Progress, shares: dict[str, float]) -> None:
        self._progress = progress
        total = sum(shares.values())
        self._span, start = {}, 0.0
        for name, share in shares.items():
            self._span[name] = (start / total, (start + share) / total)
            start += share
        self._begun = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Yields the progress of a stage, reports its begin and end, and times it."""
        part = self._progress.part(*self._span[name], name)
        part.report(0.0)
        begun = time.perf_counter()
        yield part
        self.seconds[name] = time.perf_counter() - begun
        part.report(1.0)

    @property
    def total(self) -> float:
        """Seconds since this object was made."""
        return time.perf_counter() - self._begun
