"""A Python that has imported everything once, and runs code in forks of itself: imports take torch seconds.

Nothing has been computed in it, so that no thread is lost in a fork. POSIX only.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared_data import REPOSITORY

WORKER = "import sys; from SACBRegistrationLib.worker.main import main; sys.exit(main(sys.argv[1:]))"
"""Code of a fork that does a worker's work."""

_SERVER = """
import json, os, socket, sys, tempfile
sys.path.insert(0, {root!r})
import SACBRegistrationLib.cli.main, SACBRegistrationLib.worker.execution
import SACBRegistrationLib.cli.register_command, SACBRegistrationLib.registration.saving
# The first optimiser imports half of torch once more.
import torch._dynamo
channel = socket.socket(fileno={channel})
while True:
    order, streams, _, _ = socket.recv_fds(channel, 2**20, 3)
    if not order:
        os._exit(0)
    child = os.fork()
    if child == 0:
        channel.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        code = 1
        try:
            order = json.loads(order)
            os.environ.clear()
            os.environ.update(order["environment"])
            tempfile.tempdir, sys.argv = None, order["arguments"]
            exec(order["code"], {{"__name__": "__main__"}})
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    for stream in streams:
        os.close(stream)
    channel.send(str(child).encode())
    channel.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
"""


class WarmPython:
    """The Python that forks; runs one fork at a time."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def run(self, code: str, arguments: Sequence[str], folder: Path) -> tuple[int, str]:
        """Runs code to its end; returns its exit code and what it wrote to standard error.

        Args:
            code: Python.
            arguments: sys.argv without its first.
            folder: For what it writes.
        """
        process = WarmProcess(self, code)
        process.start(["", "", *arguments], os.environ, folder / "warm.out", folder / "warm.err")
        process.close_input()
        code_of_exit = process.wait()
        return code_of_exit, (folder / "warm.err").read_text(encoding="utf-8", errors="replace")


@contextmanager
def warm_python():
    """Yields a WarmPython, and ends it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = _SERVER.format(root=str(REPOSITORY), channel=theirs.fileno())
    with ours, subprocess.Popen([sys.executable, "-c", script], pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield WarmPython(ours)
        finally:
            ours.close()
            process.wait(60)


class WarmProcess:
    """A WorkerProcess that is a fork and runs code of the test's; see worker/process.py."""

    def __init__(self, python: WarmPython, code: str) -> None:
        self._channel, self._code = python.channel, code
        self._pid = self._input = self._ended = None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path
    ) -> None:
        order = {
            "code": self._code,
            "arguments": ["warm", *command[2:]],
            "environment": dict(environment),
        }
        theirs, self._input = os.pipe()
        with output.open("wb") as standard_output, errors.open("wb") as standard_error:
            streams = [theirs, standard_output.fileno(), standard_error.fileno()]
            socket.send_fds(self._channel, [json.dumps(order).encode()], streams)
        os.close(theirs)
        self._pid = int(self._channel.recv(100))

    def wait(self, block: bool = True) -> int | None:
        if self._pid is not None and self._ended is None:
            try:
                self._ended = int(self._channel.recv(100, 0 if block else socket.MSG_DONTWAIT))
            except BlockingIOError:
                return None
        return self._ended

    def is_running(self) -> bool:
        return self._pid is not None and self.wait(block=False) is None

    def exit_code(self) -> int | None:
        return self.wait(block=False)

    def close_input(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def terminate(self) -> None:
        if self.is_running():
            os.kill(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.is_running():
            os.kill(self._pid, signal.SIGKILL)
