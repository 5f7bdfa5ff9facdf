"""How a worker is started: which Python, in which environment, and what is said when there is none."""

import sys
import time
from pathlib import Path

import pytest
from worker_fixtures import temporary  # noqa: F401

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.worker import python_command as python_module
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
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(python_module.sys, "prefix", str(tmp_path / "lib" / "Python"))
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
