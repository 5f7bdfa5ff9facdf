"""Apply and Cancel: one registration at a time, watched from the event loop."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.outputs import RegistrationNodes
from SACBRegistrationLib.worker.run import RunStatus
from SACBRegistrationLib.worker.scheduling import Scheduler

logger = logging.getLogger(__name__)

_ENDED = ("done", "failed", "cancelled")


class Run(Protocol):
    """A registration that is under way; `RegistrationRun` is one."""

    status: RunStatus
    nodes: RegistrationNodes | None

    def cancel(self) -> None:
        """Asks it to end."""
        ...

    def close(self) -> None:
        """Ends it at once."""
        ...


class Logic(Protocol):
    """What the panel needs of the logic."""

    def register(self, **arguments: object) -> Run:
        """Starts a registration."""
        ...


class RunController:
    """Starts, watches and ends registrations; the panel shows what it holds.

    Args:
        logic: Registers.
        scheduler: Looks after the run regularly.
        prepare: Called before a run, raises UserError when it cannot start.
        changed: Called when there is something new to show.
    """

    def __init__(
        self,
        logic: Logic,
        scheduler: Scheduler,
        prepare: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._logic, self._scheduler = logic, scheduler
        self._prepare, self._changed = prepare, changed
        self._run: Run | None = None
        self._shown: RunStatus | None = None
        self._started = 0.0
        self.running = False
        self.cancelling = False
        self.outcome: str | None = None
        self.error: str | None = None
        self.log = ""
        self.seconds = 0.0

    @property
    def status(self) -> RunStatus | None:
        """How far the run is, None when none was started."""
        return None if self._run is None else self._run.status

    @property
    def nodes(self) -> RegistrationNodes | None:
        """What the last run made, once it is done."""
        return None if self._run is None else self._run.nodes

    def start(self, arguments: Mapping[str, object]) -> None:
        """Starts a registration; what prevents it becomes `error`.

        Args:
            arguments: Those of the logic's `register`.
        """
        if self.running:
            return
        self._run, self._shown, self._started = None, None, time.monotonic()
        self.outcome, self.error, self.log = None, None, ""
        self.cancelling = False
        try:
            self._prepare()
            self._run = self._logic.register(**arguments, waitForCompletion=False)
        except UserError as error:
            self._end("failed", str(error))
            return
        except Exception as error:
            logger.exception("The registration could not be started")
            self.log = f"{type(error).__name__}: {error}"
            self._end("failed", "The registration could not be started; see the log for the reason.")
            return
        self.running = True
        self._changed()
        self._scheduler.repeat(self._look)

    def cancel(self) -> None:
        """Asks the run to end; it has ended some moments later."""
        if self.running:
            self.cancelling = True
            self._run.cancel()
            self._changed()

    def close(self) -> None:
        """Ends the run at once, without a word: the panel or its scene goes."""
        if self.running:
            self.running = False
            self._run.close()

    def _look(self) -> bool:
        if not self.running:
            return True
        status = self._run.status
        if status.state in _ENDED:
            self.log = status.log
            self._end(status.state, status.error)
            return True
        if status != self._shown:
            self._shown = status
            self._changed()
        return False

    def _end(self, outcome: str, error: str | None) -> None:
        self.seconds = time.monotonic() - self._started
        self.running = self.cancelling = False
        self.outcome, self.error = outcome, error
        self._changed()
