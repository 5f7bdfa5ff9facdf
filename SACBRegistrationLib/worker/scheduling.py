"""Who calls a run's steps: a timer where there is one, otherwise whoever waits."""

import time
from collections.abc import Callable
from typing import Protocol


class Scheduler(Protocol):
    """Has steps called, and passes the time between them."""

    def repeat(self, step: Callable[[], bool]) -> None:
        """Has the step called regularly until it returns True; returns at once."""
        ...

    def idle(self) -> None:
        """Passes a moment while somebody waits for a run's end; called between the steps."""
        ...


class SleepingScheduler:
    """A Scheduler for programs without a timer: it sleeps while somebody waits."""

    def repeat(self, step: Callable[[], bool]) -> None:
        """Refuses, as nobody would call the step.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "No timer runs in this program: wait for the registration's completion, or give a scheduler."
        )

    def idle(self) -> None:
        """Sleeps for a moment."""
        time.sleep(0.02)
