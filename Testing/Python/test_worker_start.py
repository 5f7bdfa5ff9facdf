"""How a worker is started: which Python, in which environment, and what is said when there is none."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from worker_fixtures import temporary  # noqa: F401

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.worker import parent_watch
from SACBRegistrationLib.worker import python_command as python_module
from SACBRegistrationLib.worker.endings import ending
from SACBRegistrationLib.worker.process import PopenProcess
from SACBRegistrationLib.worker.python_command import python_command, worker_environment
from SACBRegistrationLib.worker.run import WorkerRun
from SACBRegistrationLib.worker.scheduling import SleepingScheduler

pytestmark = pytest.mark.usefixtures("temporary")
posix = pytest.mark.skipif(sys.platform == "win32", reason="uses a program without an .exe")


@posix
@pytest.mark.parametrize("program", ["/nowhere/python", str(Path(__file__))], ids=["absent", "no program"])
def test_a_python_that_cannot_be_started(program):
    run = WorkerRun(PopenProcess(), python=[program])
    with pytest.raises(UserError, match=r"could not be started.*check that it is installed"):
        run.launch()
    assert run.poll().state == "cancelled" and not run.folder.exists()


def test_no_place_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="temporary files"):
        WorkerRun(PopenProcess())


def test_pythonslicer_does_without_the_users_packages():
    parent = {"PATH": "/bin", "PYTHONPATH": "/a", "PYTHONSTARTUP": "/b", "PYTHONINSPECT": "1"}
    own = worker_environment(["/usr/bin/python3"], parent)
    assert own["PYTHONPATH"] == "/a" and "PYTHONNOUSERSITE" not in own
    assert not {"PYTHONSTARTUP", "PYTHONINSPECT"} & set(own)
    for name in ("/opt/Slicer/bin/PythonSlicer", "/opt/Slicer/bin/PythonSlicer.exe"):
        assert worker_environment([name], parent) == own | {"PYTHONNOUSERSITE": "1"}


@posix
def test_the_python_that_runs_it(monkeypatch, tmp_path):
    assert python_command() == [sys.executable]
    slicer = tmp_path / "bin" / "PythonSlicer"
    slicer.parent.mkdir()
    slicer.write_text("#!/bin/sh\n")
    slicer.chmod(0o700)
    for own in ("", None, str(tmp_path / "bin" / "SlicerApp-real")):
        monkeypatch.setattr(sys, "executable", own)
        monkeypatch.setenv("PATH", "" if own else str(slicer.parent))
        assert python_command() == [str(slicer)]
    # Slicer for macOS: the application lies in a folder of its own, and PATH need not lead to bin.
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(python_module.sys, "prefix", str(tmp_path / "lib" / "Python"))
    for own in ("", str(tmp_path / "MacOS" / "Slicer")):
        monkeypatch.setattr(sys, "executable", own)
        assert python_command() == [str(slicer)]
    monkeypatch.setattr(python_module.sys, "prefix", str(tmp_path / "elsewhere" / "lib" / "Python"))
    with pytest.raises(UserError, match=r"PythonSlicer.*reinstall"):
        python_command()


def test_sleeping_scheduler():
    begun = time.monotonic()
    SleepingScheduler().idle()
    assert 0.01 < time.monotonic() - begun < 1
    with pytest.raises(RuntimeError, match="timer"):
        SleepingScheduler().repeat(lambda: True)


def test_a_process_that_was_not_started():
    process = PopenProcess()
    process.close_input()
    process.terminate()
    process.kill()
    assert not process.is_running() and process.exit_code() is None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (0xC0000005, r"crashed \(0xC0000005\)"),
        (0xC0000409, "0xC0000409"),
        (1, "code 1"),
        (0, "without a result"),
    ],
)
def test_how_a_process_ended_on_windows(code, sentence):
    assert re.search(sentence, ending(code))


class WindowsApi(ModuleType):
    """The two functions of Windows that watch over a process, by what they are documented to do."""

    SYNCHRONIZE, WAIT_OBJECT_0 = 0x100000, 0

    def __init__(self, processes: dict[int, subprocess.Popen]) -> None:
        super().__init__("_winapi")
        self.processes = processes

    def OpenProcess(self, access: int, inherit: bool, number: int) -> subprocess.Popen:  # noqa: N802
        assert (access, inherit) == (self.SYNCHRONIZE, False)
        if number not in self.processes:
            error = OSError(22, "The parameter is incorrect")
            error.winerror = 87
            raise error
        return self.processes[number]

    def WaitForSingleObject(self, handle: subprocess.Popen, milliseconds: int) -> int:  # noqa: N802
        assert milliseconds == 0
        return 0x102 if handle.poll() is None else self.WAIT_OBJECT_0


def test_a_parent_is_watched_on_windows(monkeypatch):
    """A launcher there holds the input open after its own parent has died, and numbers are used again."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as parent:
        api = WindowsApi({parent.pid: parent})
        monkeypatch.setitem(sys.modules, "_winapi", api)
        is_alive = parent_watch._liveness_on_windows(parent.pid)
        assert is_alive()
        parent.kill()
        parent.wait()
        assert not is_alive()
        api.processes = {parent.pid: None}
        assert not is_alive()
    assert not parent_watch._liveness_on_windows(parent.pid + 1)()
