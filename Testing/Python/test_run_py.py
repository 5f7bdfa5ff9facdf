"""run.py: quick when there is nothing to do, one sentence when something is in the way."""

import ast
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from shared_data import REPOSITORY


def copy_project(folder: Path) -> Path:
    (folder / "Testing").mkdir()
    for name in ("run.py", "pyproject.toml", "Testing/requirements.txt"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture
def script(tmp_path) -> ModuleType:
    """The script as a module of a project without .venv."""
    spec = importlib.util.spec_from_file_location("run_copy", copy_project(tmp_path) / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    command = [sys.executable, str(folder / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**kept, **environment}, timeout=120)


def refusal(script: ModuleType, capsys) -> str:
    assert script.main(["setup"]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("run.py: ") and message.endswith(".")
    assert "\n" not in message and "Traceback" not in message
    assert not (script.VENV).exists()
    return message


def finish_setup(script: ModuleType) -> None:
    """Leaves an environment as a finished setup does, without the packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", script.VENV], check=True)
    script.STAMP.write_text(json.dumps(script.fingerprint()), encoding="utf-8")


def test_old_python_gets_as_far_as_the_sentence():
    ast.parse((REPOSITORY / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_needs_the_standard_library_only():
    tree = ast.parse((REPOSITORY / "run.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize(("version", "expected"), [((3, 9, 1), "too old"), ((3, 99, 0), "too new")])
def test_wrong_python(script, capsys, monkeypatch, version, expected):
    monkeypatch.setattr(script.sys, "version_info", version)
    message = refusal(script, capsys)
    assert expected in message and "3.10 to 3.13" in message


def test_no_room_on_the_disk(script, capsys, monkeypatch):
    usage = shutil.disk_usage(REPOSITORY)._replace(free=10**9)
    monkeypatch.setattr(script.shutil, "disk_usage", lambda path: usage)
    assert "1.0 GB free" in refusal(script, capsys)


def test_python_without_venv(script, capsys, monkeypatch):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    assert "apt install" in refusal(script, capsys)


def test_no_network(tmp_path):
    folder = copy_project(tmp_path)
    # Port 9 of this machine: nothing listens there, as when the network is down.
    offline = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    first = start(folder, "setup", **offline)
    assert first.returncode == 2
    assert "check the network connection" in first.stderr and len(first.stderr.splitlines()) == 1
    assert "[1/4] making .venv" in first.stdout and "[2/4] installing torch==2.13.0" in first.stdout
    assert "127.0.0.1" in (folder / ".venv" / "setup.log").read_text(encoding="utf-8")
    # What is there is kept: the next run goes on with the step that failed.
    second = start(folder, "setup", **offline)
    assert second.returncode == 2 and "[1/3] installing torch==2.13.0" in second.stdout
    assert "making .venv" not in second.stdout


def test_finished_setup_is_recognised_at_once(script, capsys, monkeypatch):
    finish_setup(script)
    monkeypatch.setattr(script, "run_step", lambda *_: pytest.fail("installed again"))
    started = time.monotonic()
    assert script.main(["setup"]) == 0
    assert time.monotonic() - started < 5  # some 0.1 s where the cores are free
    assert "Everything is set up" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["pins", "interrupted", "broken"])
def test_outdated_or_half_made_setup_is_repaired(script, monkeypatch, change):
    finish_setup(script)
    leftover = script.VENV / "half-a-package"
    leftover.touch()
    if change == "pins":
        script.REQUIREMENTS.write_text("torch==2.13.0\nnumpy==1.0\n", encoding="utf-8")
    elif change == "interrupted":
        script.UNFINISHED.touch()
    else:
        script.PYTHON.unlink()
    steps = []
    monkeypatch.setattr(script, "run_step", lambda title, command: steps.append((title, command)))
    assert script.main(["setup"]) == 0
    assert next(command[-1] for _, command in steps[-3:]) == "torch==2.13.0"
    assert leftover.exists() == (change == "pins")
    assert not script.UNFINISHED.exists() and script.read_stamp() == script.fingerprint()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("OSError: [Errno 28] No space left on device", "is full"),
        ("socket.gaierror: Temporary failure in name resolution", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "does not exist for this system"),
        ("  File x\nModuleNotFoundError: No module named 'y'\n", "No module named 'y'"),
        ("", "does not say why"),
    ],
)
def test_reasons_are_told_apart(script, output, expected):
    script.VENV.mkdir()
    script.LOG.write_text("ERROR: of an earlier step\n" + output, encoding="utf-8")
    message = script.explain_failure("[2/4] installing", len("ERROR: of an earlier step\n"))
    assert expected in message and message.endswith(".") and "\n" not in message


def test_unknown_command_and_help(tmp_path):
    folder = copy_project(tmp_path)
    unknown = start(folder, "fly")
    assert unknown.returncode == 2 and '"fly"' in unknown.stderr and len(unknown.stderr.splitlines()) == 1
    assert start(folder).returncode == 2
    shown = start(folder, "--help")
    assert shown.returncode == 0
    for command in ("setup", "demo", "test", "pictures"):
        assert f"run.py {command}" in shown.stdout


def test_demo_passes_its_arguments_on(script, monkeypatch):
    commands = []
    monkeypatch.setattr(script, "ensure_environment", lambda: None)
    monkeypatch.setattr(script, "call", lambda command, cwd: commands.append(command) or 3)
    assert script.main(["demo", "a.nii", "b.nii", "--preset", "ixi"]) == 3
    assert commands[0][1:] == [
        "-m",
        "SACBRegistrationLib.cli.main",
        "demo",
        "a.nii",
        "b.nii",
        "--preset",
        "ixi",
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs signals for a group of processes")
def test_ctrl_c_lets_the_command_tidy_up(tmp_path):
    tidy = "\n".join(
        (
            "import pathlib, time",
            "try:",
            "    print('ready', flush=True); time.sleep(60)",
            "except KeyboardInterrupt:",
            "    time.sleep(1); pathlib.Path('tidy').touch(); raise SystemExit(7)",
        )
    )
    outer = (
        f"import sys, run, pathlib; sys.exit(run.call([sys.executable, '-c', {tidy!r}], pathlib.Path.cwd()))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", outer],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    )
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 7
    assert (tmp_path / "tidy").exists()
