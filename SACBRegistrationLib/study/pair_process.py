"""One pair in a process of its own, seen from the study."""

import json
import logging
import os
import shutil
import time
from pathlib import Path

from SACBRegistrationLib.errors import CancelledError
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.study.job import OUTCOME_FILE, PICTURE_FILE, PairJob
from SACBRegistrationLib.worker.endings import ending, not_started
from SACBRegistrationLib.worker.folders import make_private_folder, remove_folder
from SACBRegistrationLib.worker.messages import FailedMessage, ProgressMessage, parse_message
from SACBRegistrationLib.worker.process import PopenProcess
from SACBRegistrationLib.worker.python_command import python_command, worker_environment
from SACBRegistrationLib.worker.tailing import Tail

PROGRAM = Path(__file__).resolve().with_name("program.py")
_SECONDS_BETWEEN = 0.05
_SECONDS_TO_KILL = 2.0
_MOST_OF_THE_LOG = 4000

logger = logging.getLogger(__name__)


class PairError(Exception):
    """A pair could not be measured; the message is the one sentence that says why."""


def run_pair(job: PairJob, progress: Progress, picture: Path | None) -> dict:
    """Does a pair's job in a process of its own and returns what was measured.

    Args:
        job: The job.
        progress: Reported to, and asked whether to cancel.
        picture: Where the pair's picture goes, or None.

    Raises:
        PairError: When the pair cannot be measured.
        CancelledError: When cancelled; the process has ended then.
        UserError: When no folder can be made or Python is not found.
    """
    folder = make_private_folder()
    process = PopenProcess()
    try:
        job.write(folder)
        command = python_command()
        try:
            process.start(
                [*command, str(PROGRAM), str(folder)],
                worker_environment(command, os.environ),
                folder / "messages.jsonl",
                folder / "errors.txt",
            )
        except OSError as error:
            raise PairError(not_started(command[0], error.strerror or str(error))) from error
        sentence = _follow(process, Tail(folder / "messages.jsonl"), progress)
        outcome = folder / OUTCOME_FILE
        if sentence is None and process.exit_code() == 0 and outcome.is_file():
            if picture is not None and (folder / PICTURE_FILE).is_file():
                shutil.copyfile(folder / PICTURE_FILE, picture)
            return json.loads(outcome.read_text(encoding="utf-8"))
        log = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace")
        logger.debug("%s", log[-_MOST_OF_THE_LOG:])
        raise PairError(sentence or ending(process.exit_code()))
    finally:
        _end(process)
        remove_folder(folder)


def _follow(process: PopenProcess, messages: Tail, progress: Progress) -> str | None:
    """Waits for the process and passes its progress on; returns why it failed where it says so."""
    running = True
    progress.part(0.0, 1.0, "starting").report(0.0)
    while running or messages.is_behind():
        running = process.is_running()
        for line in messages.lines():
            try:
                message = parse_message(line)
            except ValueError as error:
                logger.debug("unreadable message: %s", error)
                continue
            if isinstance(message, FailedMessage):
                return message.message
            if isinstance(message, ProgressMessage):
                progress.part(0.0, 1.0, message.stage).report(message.fraction)
        if progress.cancel is not None and progress.cancel.is_set():
            raise CancelledError("The evaluation was cancelled.")
        if running:
            time.sleep(_SECONDS_BETWEEN)
    return None


def _end(process: PopenProcess) -> None:
    """Ends the process if it has not."""
    process.close_input()
    given_up = time.monotonic() + _SECONDS_TO_KILL
    if process.is_running():
        process.terminate()
    while process.is_running() and time.monotonic() < given_up:
        time.sleep(_SECONDS_BETWEEN / 5)
    if process.is_running():
        process.kill()
