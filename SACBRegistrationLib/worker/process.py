"""How a process is started, asked after and ended; the panel brings its own way."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class WorkerProcess(Protocol):
    """A process that is started once; none of the methods waits."""

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path
    ) -> None:
        """Starts the command with its standard input held open.

        Args:
            command: Program and arguments.
            environment: All of its environment variables.
            output: File that takes its standard output.
            errors: File that takes its standard error.

        Raises:
            OSError: When it is known at once that the program cannot be started.
        """
        ...

    def is_running(self) -> bool:
        """Returns whether the process is being started or runs."""
        ...

    def exit_code(self) -> int | None:
        """Returns how the process ended; minus the signal's number when a signal ended it.

        None while it runs, and when it was never started or nothing is known.
        """
        ...

    def close_input(self) -> None:
        """Closes the standard input, by which the process learns that it is to end; does nothing twice."""
        ...

    def terminate(self) -> None:
        """Asks the process to end; does nothing when it has ended."""
        ...

    def kill(self) -> None:
        """Ends the process without asking; does nothing when it has ended."""
        ...


class PopenProcess:
    """A WorkerProcess of Python's own subprocess module."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path
    ) -> None:
        """Starts the command; see WorkerProcess."""
        # Ctrl+C in a terminal and the end of the terminal's group must not reach the worker before its
        # parent has told it to tidy up.
        apart = (
            {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        with open(output, "wb") as standard_output, open(errors, "wb") as standard_error:
            self._process = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=standard_output,
                stderr=standard_error,
                **apart,
            )

    def is_running(self) -> bool:
        """Returns whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """Returns how the process ended; see WorkerProcess."""
        return None if self._process is None else self._process.poll()

    def close_input(self) -> None:
        """Closes the standard input."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self) -> None:
        """Asks the process to end."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process without asking."""
        if self._process is not None:
            self._process.kill()
