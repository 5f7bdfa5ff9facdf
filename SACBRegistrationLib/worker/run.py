"""One registration in a process of its own, seen from the program that wants it."""

import logging
import os
import time
import weakref
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.worker.endings import TOO_MUCH, UNUSABLE, ending, not_started
from SACBRegistrationLib.worker.folders import make_private_folder, remove_folder, remove_steps
from SACBRegistrationLib.worker.job import Job, write_job
from SACBRegistrationLib.worker.messages import (
    DoneMessage,
    FailedMessage,
    LogMessage,
    NoteMessage,
    ProgressMessage,
    UnusableResultError,
    WorkerResult,
    parse_message,
)
from SACBRegistrationLib.worker.process import WorkerProcess
from SACBRegistrationLib.worker.python_command import python_command, worker_environment
from SACBRegistrationLib.worker.remaining import RemainingTime
from SACBRegistrationLib.worker.tailing import Log, Tail

PROGRAM = Path(__file__).resolve().with_name("main.py")
ENDED = ("done", "failed", "cancelled")
_SECONDS_TO_KILL = 2.0
_SECONDS_TO_GIVE_UP = 7.0
_MOST_OUTPUT = 64 * 2**20
_LONGEST_LINE = 8 * 2**20
_MOST_NONSENSE = 1000
_SHOWN_OF_NONSENSE = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        state: "starting", "running", "done", "failed" or "cancelled".
        fraction: How much is done, in [0, 1].
        stage: What is being done, for people.
        seconds_left: Estimate, or None when nobody can tell.
        note: The last sentence for the user about something unexpected, or empty.
        error: When failed, one sentence that says what happened and what to do.
        result: When done, what was made; its files lie in the run's folder until the run is closed.
        log: Everything the process said, with its standard error.
    """

    state: str = "starting"
    fraction: float = 0.0
    stage: str = "Starting"
    seconds_left: float | None = None
    note: str = ""
    error: str | None = None
    result: WorkerResult | None = None
    log: str = ""


class WorkerRun:
    """A registration in a process of its own, with a private folder for what goes in and out.

    The process starts with `launch`, loads its libraries while the caller writes the volumes into the
    folder, and works once the job is submitted. Nothing here waits but `close`. Whatever happens, the folder
    goes: at the latest when this object or the program ends, and when the program is killed, the worker
    removes the folder.

    Attributes:
        folder: Private folder for the volumes; gone once the run is closed.
    """

    def __init__(self, process: WorkerProcess, python: Sequence[str] | None = None) -> None:
        """Makes the folder.

        Args:
            process: A process that was not started yet.
            python: Command that starts Python; None finds it.

        Raises:
            UserError: When no temporary folder can be made.
        """
        self.folder = make_private_folder()
        self._process = process
        self._python = python
        self._launched = False
        self._cancelled: float | None = None
        self._messages = Tail(self.folder / "messages.jsonl")
        self._errors = Tail(self.folder / "errors.txt")
        self._log = Log()
        self._nonsense = 0
        self._remaining = RemainingTime()
        self._state, self._fraction, self._stage = "starting", 0.0, "Starting"
        self._note, self._error = "", None
        self._result: WorkerResult | None = None
        self._tidy = weakref.finalize(self, _tidy, process, self.folder)

    def __enter__(self) -> "WorkerRun":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch(self) -> None:
        """Starts the process.

        Raises:
            UserError: When Python is not found or cannot be started; the run is closed then.
        """
        try:
            python = list(self._python) if self._python is not None else python_command()
            try:
                self._process.start(
                    [*python, str(PROGRAM), str(self.folder)],
                    worker_environment(python, os.environ),
                    self.folder / "messages.jsonl",
                    self.folder / "errors.txt",
                )
            except OSError as error:
                raise UserError(not_started(python[0], error.strerror or str(error))) from error
        except BaseException:
            self.close()
            raise
        self._launched = True

    def submit(self, job: Job) -> None:
        """Hands over the job, whose volumes lie in the folder.

        Raises:
            ValueError: When a volume is missing or not as the job says.
            UserError: When the job cannot be written.
        """
        for image in job.images.values():
            image.path_in(self.folder)
        try:
            write_job(job, self.folder)
        except OSError as error:
            raise UserError(
                f"The registration's folder {self.folder} cannot be written ({error.strerror}); free space "
                "on the disk and run it again."
            ) from error

    def poll(self) -> RunStatus:
        """Takes in what the process has said, and returns how the run stands."""
        now = time.monotonic()
        if self._launched and self._state not in ENDED:
            # Asked before reading: what the process wrote until then is there to be read.
            running = self._process.is_running()
            if self._cancelled is not None:
                self._end_cancelled(running, now)
            else:
                self._read(now)
                if not running and self._state not in ENDED and not self._is_behind():
                    self._take_in(self._messages.rest(), now)
                    if self._state not in ENDED:
                        self._fail(ending(self._process.exit_code(), self._log.text))
        return RunStatus(
            state=self._state,
            fraction=self._fraction,
            stage=self._stage,
            seconds_left=None if self._state in ENDED else self._remaining.left(now),
            note=self._note,
            error=self._error,
            result=self._result,
            log=self._log.text,
        )

    def cancel(self) -> None:
        """Asks the process to end; `poll` kills it after two seconds, and says when it is gone."""
        if self._state in ENDED or self._cancelled is not None:
            return
        if not self._launched:
            self.close()
            return
        self._cancelled, self._stage = time.monotonic(), "Cancelling"
        self._process.close_input()
        self._process.terminate()

    def release(self) -> Generator[None, None, None]:
        """Lets go of the process and the folder of a run that is done, without waiting.

        Yields while the process ends, which may take some tenths of a second as its memory is freed, and then
        after every file that is removed, until all are: what a launcher has started may end after it, and on
        Windows holds files open. What is left after some seconds is left to `close`. No thread does it:
        Python's garbage collection may run in any thread, and windows and nodes must not be freed there.
        """
        self._process.close_input()
        self._process.kill()
        given_up = time.monotonic() + _SECONDS_TO_GIVE_UP
        while self._process.is_running() and time.monotonic() < given_up:
            yield
        yield from remove_steps(self.folder)
        while os.path.lexists(self.folder) and time.monotonic() < given_up:
            yield
            yield from remove_steps(self.folder)

    def close(self) -> None:
        """Kills the process, if need be, and removes the folder; a run that had not ended is cancelled."""
        if self._state not in ENDED:
            self._state = "cancelled"
        self._tidy()

    def _end_cancelled(self, running: bool, now: float) -> None:
        waited = now - self._cancelled
        if running and waited > _SECONDS_TO_KILL:
            self._process.kill()
        if not running or waited > _SECONDS_TO_GIVE_UP:
            self._state = "cancelled"
            _tidy(self._process, self.folder, patience=0.0 if running else 0.1)

    def _read(self, now: float) -> None:
        for line in self._messages.lines():
            self._take_in(line, now)
        # Read last: a process that says that it failed has written the reasons before.
        for line in self._errors.lines():
            self._log.add(line.decode("utf-8", "replace").rstrip("\r"))
        written = self._messages.size() + self._errors.size()
        too_long = max(len(self._messages.rest()), len(self._errors.rest())) > _LONGEST_LINE
        if self._state not in ENDED and (written > _MOST_OUTPUT or too_long):
            self._fail(TOO_MUCH)

    def _is_behind(self) -> bool:
        return self._messages.is_behind() or self._errors.is_behind()

    def _take_in(self, line: bytes, now: float) -> None:
        if self._state in ENDED or not line.strip():
            return
        try:
            message = parse_message(line)
        except ValueError as error:
            shown = line[:_SHOWN_OF_NONSENSE].decode("utf-8", "replace")
            self._log.add(f"unreadable message ({error}): {shown}")
            self._nonsense += 1
            if self._nonsense > _MOST_NONSENSE:
                self._fail(TOO_MUCH)
            elif isinstance(error, UnusableResultError):
                self._fail(UNUSABLE)
            return
        if isinstance(message, ProgressMessage):
            self._state, self._fraction, self._stage = "running", message.fraction, message.stage
            self._remaining.update(message.fraction, now)
        elif isinstance(message, LogMessage):
            self._log.add(f"{message.level}: {message.text}")
        elif isinstance(message, NoteMessage):
            self._note = message.text
            self._log.add(f"NOTE: {message.text}")
        elif isinstance(message, FailedMessage):
            self._fail(message.message)
        elif isinstance(message, DoneMessage):
            self._finish(message.result)

    def _finish(self, result: WorkerResult) -> None:
        try:
            for image in result.images.values():
                image.path_in(self.folder)
        except ValueError as error:
            self._log.add(f"unusable result: {error}")
            self._fail(UNUSABLE)
            return
        self._state, self._fraction, self._stage, self._result = "done", 1.0, "Done", result

    def _fail(self, sentence: str) -> None:
        self._state, self._error = "failed", sentence
        self._log.add(f"ERROR: {sentence}")
        for line in self._errors.lines():
            self._log.add(line.decode("utf-8", "replace").rstrip("\r"))
        self._process.close_input()
        self._process.kill()


def _tidy(process: WorkerProcess, folder: Path, patience: float = 2.0) -> None:
    """Ends a process and removes its folder."""
    process.close_input()
    process.kill()
    given_up = time.monotonic() + patience
    while process.is_running() and time.monotonic() < given_up:
        time.sleep(0.005)
    if process.is_running():
        logger.warning("the registration's process does not end")
    remove_folder(folder, patience)
