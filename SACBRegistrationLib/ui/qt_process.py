"""The worker as a process of Qt's, which Slicer's window can watch over without threads."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import qt

_START_MS = 3000


class QtProcess:
    """A WorkerProcess over QProcess."""

    def __init__(self) -> None:
        self._process: qt.QProcess | None = None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path
    ) -> None:
        """Starts a command with nothing but the given environment.

        Args:
            command: Program and arguments.
            environment: All environment variables.
            output: File for what it writes to standard output.
            errors: File for what it writes to standard error.

        Raises:
            OSError: When the program cannot be started.
        """
        process = qt.QProcess()
        variables = qt.QProcessEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        process.setProcessEnvironment(variables)
        process.setStandardOutputFile(str(output))
        process.setStandardErrorFile(str(errors))
        process.start(command[0], list(command[1:]))
        # Some milliseconds: until the system has found the program, not until it is ready.
        if not process.waitForStarted(_START_MS):
            raise OSError(f"{command[0]} cannot be started: {process.errorString()}")
        self._process = process

    def is_running(self) -> bool:
        """Returns whether it was started and has not ended."""
        if self._process is None or self._process.state() == qt.QProcess.NotRunning:
            return False
        # Looks without waiting: who asks in a loop may not let Qt process events in between.
        return not self._process.waitForFinished(0)

    def exit_code(self) -> int | None:
        """Returns how it ended, None before; see WorkerProcess."""
        if self._process is None or self.is_running():
            return None
        code = self._process.exitCode()
        if sys.platform == "win32":
            # There are no signals: a crash leaves a number of 32 bits, which Qt takes for a signed one.
            return code & 0xFFFFFFFF
        if self._process.exitStatus() == qt.QProcess.CrashExit:
            return -abs(code) or -1
        return code

    def process_id(self) -> int | None:
        """Returns the operating system's number of the running process, or None."""
        return self._process.processId() if self.is_running() else None

    def close_input(self) -> None:
        """Closes its standard input."""
        if self._process is not None:
            self._process.closeWriteChannel()

    def terminate(self) -> None:
        """Asks it to end."""
        if self.is_running():
            self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        if self.is_running():
            self._process.kill()
