"""A run seen from its parent: whatever the process does, one clear sentence and nothing left behind."""

import gc
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from oblique import oblique_grid
from shared_data import REPOSITORY
from worker_fixtures import ScriptProcess, temporary, wait  # noqa: F401

from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT
from SACBRegistrationLib.worker.arrays import ArrayFile
from SACBRegistrationLib.worker.job import Job
from SACBRegistrationLib.worker.process import PopenProcess
from SACBRegistrationLib.worker.python_command import PARENT
from SACBRegistrationLib.worker.run import RunStatus, WorkerRun

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the scripts use the signals of POSIX"),
    pytest.mark.usefixtures("temporary"),
]

GRID = oblique_grid((7, 5, 4))
FIELD = ArrayFile("u.raw", "float32", (4, 5, 7, 3), GRID)
# What Slicer's launcher says of the Python that it runs; CTK's ctkAppLauncher.cpp.
LAUNCHER = "error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.\n"
PREAMBLE = """
import json, os, signal, sys, time
folder = sys.argv[1]
def say(**message):
    print(json.dumps(message), flush=True)
def done(field, **more):
    result = {"images": {"displacement_field": field}, "report": {}, "quality": {}, "ranges": {}}
    say(type="done", result={**result, **more})
FIELD = json.loads(%r)
def write(name="u.raw", length=1680):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(bytes(length))
"""


@pytest.fixture
def script(tmp_path):
    def make(body: str) -> ScriptProcess:
        path = tmp_path / "script.py"
        path.write_text(PREAMBLE % json.dumps(FIELD.to_json()) + textwrap.dedent(body), encoding="utf-8")
        return ScriptProcess(path)

    return make


def outcome(process: ScriptProcess) -> RunStatus:
    """Runs a script to its end, and checks that nothing of it stays."""
    with WorkerRun(process) as run:
        run.launch()
        status = wait(run, 20)
        folder = run.folder
    assert not folder.exists() and not process.is_running()
    assert run.poll() == status
    return status


def test_a_run_that_is_done(script):
    process = script("""
        say(type="log", level="INFO", text="begun")
        print("not a message \\u00fc")
        say(type="progress", fraction=0.5, stage="network")
        say(type="note", text="The GPU's memory was too small.")
        sys.stderr.write("a warning\\n")
        write(); done(FIELD, report={"a": 1})
        sys.stdin.read()
    """)
    with WorkerRun(process) as run:
        assert (
            run.folder.parent == Path(tempfile.gettempdir())
            and stat.S_IMODE(run.folder.stat().st_mode) == 0o700
        )
        assert run.poll() == RunStatus()
        run.launch()
        status = wait(run)
        assert status.state == "done" and status.fraction == 1 and status.error is None
        assert status.result.images == {"displacement_field": FIELD} and status.result.report == {"a": 1}
        assert status.note == "The GPU's memory was too small."
        assert "INFO: begun" in status.log and "not a message ü" in status.log
        assert (run.folder / "u.raw").exists()
        run.cancel()
        assert run.poll().state == "done"
    assert not process.is_running() and not run.folder.exists()
    run.close()


def test_letting_go_of_a_run_never_waits(script):
    process = script("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write(); done(FIELD); time.sleep(60)
    """)
    with WorkerRun(process) as run:
        run.launch()
        assert wait(run).state == "done"
        longest, begun = 0.0, time.monotonic()
        for _ in run.release():
            longest = max(longest, time.monotonic() - begun)
            time.sleep(0.001)
            begun = time.monotonic()
        assert not process.is_running() and not run.folder.exists()
        assert run.poll().state == "done"
    assert longest < 0.1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "ended without a result"),
        ("write(); say(type='progress', fraction=1, stage='x')", "ended without a result"),
        ("sys.exit(7)", "code 7"),
        ("os.abort()", r"crashed \(SIGABRT\)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"killed from outside \(SIGKILL\).*memory"),
        ("os.kill(os.getpid(), signal.SIGTERM)", r"ended from outside \(SIGTERM\)"),
        (f"sys.stderr.write({LAUNCHER!r}); sys.exit(1)", r"crashed or was killed from outside.*memory"),
        ("sys.exit(1)", "code 1"),
        ("sys.stdout.buffer.write(os.urandom(100_000))", "ended without a result"),
        ("while True: print('nonsense')", "far too many messages"),
        ("while True: sys.stdout.write('[' * 10_000)", "far too many messages"),
        ("while True: sys.stderr.write('x' * 10_000 + chr(10))", "far too many messages"),
        ("say(type='done'); time.sleep(60)", "cannot be used"),
        ("done(FIELD); time.sleep(60)", "cannot be used"),
        ("write(length=1679); done(FIELD); time.sleep(60)", "cannot be used"),
        ("write(); done({**FIELD, 'name': '../u.raw'}); time.sleep(60)", "cannot be used"),
        ("write(); done({**FIELD, 'shape': [4, 5, 10**15, 3]}); time.sleep(60)", "cannot be used"),
        ("write(); done({**FIELD, 'shape': [-4, 5, -7, 3]}); time.sleep(60)", "cannot be used"),
        ("os.symlink('/etc/passwd', folder + '/u.raw'); done(FIELD); time.sleep(60)", "cannot be used"),
        ("os.mkfifo(folder + '/u.raw'); done(FIELD); time.sleep(60)", "cannot be used"),
        ("write(); done(FIELD, report=[1]); time.sleep(60)", "cannot be used"),
        ("say(type='failed', kind='user', message='Give it a mask.'); time.sleep(60)", r"Give it a mask\."),
    ],
)
def test_a_run_that_is_not(script, body, sentence):
    status = outcome(script(body))
    assert status.state == "failed" and status.result is None
    assert re.search(sentence, status.error), status.error
    assert status.error.endswith(".") and "\n" not in status.error and len(status.error) < 300
    assert status.error in status.log
    assert len(status.log) < 1_100_000


def test_a_process_that_has_ended_is_heard_to_the_end(script):
    status = outcome(
        script("""
        for number in range(5000):
            print(json.dumps({"type": "log", "level": "INFO", "text": f"{number:0100}"}))
        write(); done(FIELD)
    """)
    )
    assert status.state == "done" and f"{4999:0100}" in status.log


def test_the_log_holds_what_a_crash_leaves(script):
    status = outcome(
        script("say(type='log', level='INFO', text='loading'); raise ValueError('no such thing')")
    )
    assert "INFO: loading" in status.log and "ValueError: no such thing" in status.log
    assert "code 1" in status.error


def test_a_killed_process_is_told_and_the_next_run_works(script):
    process = script("say(type='progress', fraction=0.3, stage='network'); time.sleep(60)")
    with WorkerRun(process) as run:
        run.launch()
        assert wait(run, state=("running",)).stage == "network"
        os.kill(process.pid, signal.SIGKILL)
        assert "SIGKILL" in wait(run, 5).error
    assert outcome(script("write(); done(FIELD); sys.stdin.read()")).state == "done"


@pytest.mark.parametrize(
    ("before", "after", "least", "most"),
    [
        ("", "time.sleep(60)", 0.0, 1.0),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "sys.stdin.read()", 0.0, 1.0),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "time.sleep(60)", 1.9, 3.5),
    ],
    ids=["terminated", "gone by itself", "killed"],
)
def test_cancelling_ends_it(script, before, after, least, most):
    process = script(f"{before}\nsay(type='progress', fraction=0.3, stage='x')\n{after}")
    run = WorkerRun(process)
    run.launch()
    wait(run, state=("running",))
    begun = time.monotonic()
    run.cancel()
    run.cancel()
    assert time.monotonic() - begun < 0.1 and run.poll().stage == "Cancelling"
    status = wait(run, 5)
    assert least <= time.monotonic() - begun < most
    assert status.state == "cancelled" and status.error is None and status.result is None
    assert not process.is_running() and not run.folder.exists()
    run.close()


def test_a_result_after_cancelling_does_not_count(script):
    process = script("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(type='progress', fraction=0.3, stage='x')
        sys.stdin.read(); write(); done(FIELD)
    """)
    with WorkerRun(process) as run:
        run.launch()
        wait(run, state=("running",))
        run.cancel()
        assert wait(run, 5).state == "cancelled"


def test_cancelling_before_the_launch(script):
    run = WorkerRun(script(""))
    run.cancel()
    assert run.poll().state == "cancelled" and not run.folder.exists()


def test_polling_does_not_wait(script):
    longest = 0.0
    with WorkerRun(script("while True: say(type='log', level='INFO', text='x' * 100)")) as run:
        run.launch()
        for _ in range(200):
            begun = time.perf_counter()
            run.poll()
            longest = max(longest, time.perf_counter() - begun)
            time.sleep(0.002)
    assert longest < 0.1


def test_an_exception_in_the_parent_takes_the_run_along(script):
    process = script("time.sleep(60)")
    with pytest.raises(RuntimeError, match="mistake"), WorkerRun(process) as run:
        run.launch()
        raise RuntimeError("mistake")
    assert not process.is_running() and not run.folder.exists()


def test_a_forgotten_run_goes_too(script):
    process = script("time.sleep(60)")
    run = WorkerRun(process)
    run.launch()
    folder = run.folder
    del run
    gc.collect()
    assert not process.is_running() and not folder.exists()


def test_a_program_that_ends_takes_its_runs_along(tmp_path):
    code = (
        "from SACBRegistrationLib.worker.process import PopenProcess\n"
        "from SACBRegistrationLib.worker.run import WorkerRun\n"
        "run = WorkerRun(PopenProcess())\nrun.launch()\nprint(run._process._process.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_a_job_without_its_volumes_is_not_handed_over():
    images = {key: ArrayFile(f"{key}.raw", "uint8", (4, 5, 7), GRID) for key in ("fixed", "moving")}
    with WorkerRun(PopenProcess()) as run:
        with pytest.raises(ValueError, match=r"fixed\.raw is missing"):
            run.submit(Job(RegistrationSettings(), images))
        assert os.listdir(run.folder) == []


def test_the_process_gets_its_environment(script):
    status = outcome(script("sys.stderr.write(repr(sorted(os.environ.items())) + chr(10))"))
    for name, value in (("PYTHONUTF8", "1"), *TORCH_ENVIRONMENT.items(), (PARENT, str(os.getpid()))):
        assert repr((name, value)) in status.log
