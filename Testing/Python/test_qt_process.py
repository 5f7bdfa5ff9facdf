"""The worker's process and the steps beside Qt's event loop."""

import itertools
import signal
import sys
import time

import pytest
from panel_host import process_until

from SACBRegistrationLib.ui.qt_process import QtProcess
from SACBRegistrationLib.ui.qt_scheduler import QtScheduler
from SACBRegistrationLib.worker.endings import ending

ENDING = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)"
WAITING = "import sys\nprint('ready', flush=True)\nsys.stdin.read()\nprint('input closed')"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\ntime.sleep(60)"
)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "a folder é"
    folder.mkdir()
    return folder / "out.txt", folder / "err.txt"


@pytest.fixture
def process():
    process = QtProcess()
    yield process
    process.kill()
    process_until(lambda: not process.is_running())


def start(process, files, code, environment=None, python=sys.executable):
    process.start([python, "-c", code], environment or {}, *files)


def wait_for(files, text):
    process_until(lambda: files[0].exists() and text in files[0].read_text(encoding="utf-8"))


def end(process):
    process_until(lambda: not process.is_running())


def test_output_goes_to_files(process, files):
    assert not process.is_running() and process.exit_code() is None
    start(process, files, ENDING)
    end(process)
    assert process.exit_code() == 3
    assert [file.read_text(encoding="utf-8").strip() for file in files] == ["out", "err"]


def test_environment_is_the_given_one(process, files, monkeypatch):
    monkeypatch.setenv("LEFT_OUT", "1")
    code = "import os\nprint(os.environ.get('GIVEN'), os.environ.get('LEFT_OUT'))"
    start(process, files, code, {"GIVEN": "an é"})
    end(process)
    assert files[0].read_text(encoding="utf-8").strip() == "an é None"


def test_input_stays_open_until_closed(process, files):
    start(process, files, WAITING)
    wait_for(files, "ready")
    assert process.is_running() and process.exit_code() is None
    process.close_input()
    end(process)
    assert process.exit_code() == 0 and "input closed" in files[0].read_text(encoding="utf-8")


def test_terminate_and_kill(process, files):
    start(process, files, STUBBORN)
    wait_for(files, "ready")
    process.terminate()
    time.sleep(0.1)
    process_until(lambda: True)
    assert process.is_running() and process.exit_code() is None
    process.kill()
    end(process)
    assert process.exit_code() < 0


def test_end_is_seen_without_events(process, files):
    start(process, files, WAITING)
    wait_for(files, "ready")
    process.kill()
    until = time.monotonic() + 2
    while process.is_running() and time.monotonic() < until:
        time.sleep(0.005)
    assert not process.is_running() and process.exit_code() == -signal.SIGKILL


def test_crash_on_windows(process, files, monkeypatch):
    """Qt gives the 32 bits that a crash leaves there as a signed number."""
    start(process, files, WAITING)
    wait_for(files, "ready")
    process.kill()
    end(process)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(process, "_process", Crashed(process._process))
    assert process.exit_code() == 0xC0000005
    assert "crashed (0xC0000005)" in ending(process.exit_code())


class Crashed:
    """A QProcess that has ended, of which Windows says that it read where it may not."""

    def __init__(self, process) -> None:
        self.process = process

    def __getattr__(self, name: str):
        return getattr(self.process, name)

    def exitCode(self) -> int:  # noqa: N802
        return 0xC0000005 - 2**32


def test_command_that_does_not_exist(process, files):
    with pytest.raises(OSError, match="cannot be started"):
        start(process, files, "", python=str(files[0].parent / "no python"))
    assert not process.is_running() and process.exit_code() is None


def test_steps_repeat_until_they_say_so():
    scheduler, calls = QtScheduler(), []

    def step() -> bool:
        calls.append(time.monotonic())
        return len(calls) == 4

    scheduler.repeat(step)
    assert scheduler.active == 1 and not calls
    process_until(lambda: scheduler.active == 0)
    assert len(calls) == 4
    assert max(b - a for a, b in itertools.pairwise(calls)) < 0.2


def test_steps_can_be_stopped():
    scheduler, calls = QtScheduler(), []
    scheduler.repeat(lambda: bool(calls.append(1)))
    process_until(lambda: calls)
    scheduler.stop()
    count = len(calls)
    time.sleep(0.1)
    process_until(lambda: True)
    assert len(calls) == count and scheduler.active == 0
