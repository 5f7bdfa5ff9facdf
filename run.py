#!/usr/bin/env python3
"""Sets the project up, shows it at work and tests it; needs nothing but Python.

python3 run.py setup     makes .venv with pinned packages
python3 run.py demo      registers a bundled pair, or: demo FIXED MOVING --preset ixi
python3 run.py test      runs every test through CTest
python3 run.py pictures  makes the pictures of the documentation
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "setup.json"
UNFINISHED = VENV / "setup-unfinished"
LOG = VENV / "setup.log"
REQUIREMENTS = ROOT / "Testing" / "requirements.txt"
BUILD = ROOT / "build" / "testing"

OLDEST, NEWEST = (3, 10), (3, 13)
"""Python versions for which every pinned package exists."""

NEEDED_GB = 4
MOST_JOBS = 4

NETWORK_SIGNS = (
    "Failed to establish a new connection", "NameResolutionError", "Temporary failure in name resolution",
    "getaddrinfo failed", "Network is unreachable", "Connection refused", "Connection reset",
    "ConnectTimeout", "Read timed out", "ProxyError", "SSLError",
)  # fmt: skip
DISK_SIGNS = ("No space left on device", "Errno 28", "not enough space on the disk")
MISSING_SIGNS = ("No matching distribution found", "Could not find a version that satisfies")


class SetupError(Exception):
    """Something the user can mend; the message is one sentence."""


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code: 0, 2 for what the user can mend, or the command's own."""
    sys.stdout.reconfigure(errors="replace")  # a pipe on Windows has a code page, which lacks most letters
    commands = {"setup": run_setup, "demo": run_demo, "test": run_tests, "pictures": run_pictures}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    try:
        if arguments[0] not in commands:
            raise SetupError(f'there is no command "{arguments[0]}"; choose one of {", ".join(commands)}.')
        return commands[arguments[0]](arguments[1:])
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        print(f"run.py: {error.strerror or error}{name}; see to that and try again.", file=sys.stderr)
        return 2


def run_setup(arguments: list[str]) -> int:
    """Makes .venv, or says that it is there."""
    parser = argparse.ArgumentParser(prog="run.py setup", description="Makes .venv with pinned packages.")
    parser.parse_args(arguments)
    ensure_environment()
    print(f"Everything is set up in {VENV}.")
    return 0


def run_demo(arguments: list[str]) -> int:
    """Registers a pair; the arguments are those of `sacb-registration demo`."""
    ensure_environment()
    return call([PYTHON, "-m", "SACBRegistrationLib.cli.main", "demo", *arguments], cwd=Path.cwd())


def run_tests(arguments: list[str]) -> int:
    """Configures the test project and runs CTest, whose summary stays the last thing printed."""
    parser = argparse.ArgumentParser(prog="run.py test", description="Runs every test through CTest.")
    parser.add_argument("-k", "-R", dest="pattern", metavar="PATTERN", help="only tests whose name matches")
    cores = os.cpu_count() or 1
    jobs = min(cores, MOST_JOBS)
    parser.add_argument("-j", dest="jobs", type=int, default=jobs, metavar="N", help="tests at a time")
    options = parser.parse_args(arguments)
    ensure_environment()
    definitions = [
        f"-DSACB_TEST_THREADS={max(1, cores // max(1, options.jobs))}",
        f"-DSACB_TEST_GROUP_SIZE={0 if options.pattern else 8}",  # chosen by name, files are tests themselves
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja').as_posix()}",  # to CMake, a backslash begins an escape
        f"-DPython3_EXECUTABLE={PYTHON.as_posix()}",
    ]
    # Fresh, so that a moved checkout or another CMake's leftovers cannot get in the way.
    configure = [tool("cmake"), "--fresh", "-S", ROOT, "-B", BUILD, "-G", "Ninja", *definitions]
    command = [str(part) for part in configure]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=clean_environment())
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SetupError(f"CMake could not configure the tests in {BUILD}; its message is above.")
    choice = ["--parallel", options.jobs, *(["-R", options.pattern] if options.pattern else [])]
    return call([tool("ctest"), "--test-dir", BUILD, "--output-on-failure", "--no-tests=error", *choice])


def run_pictures(arguments: list[str]) -> int:
    """Makes the pictures of the documentation; the arguments are those of Testing/Pictures/make.py."""
    ensure_environment()
    return call([PYTHON, ROOT / "Testing/Pictures/make.py", *arguments], cwd=Path.cwd())


def ensure_environment() -> None:
    """Makes or repairs .venv where needed; takes a moment where there is nothing to do.

    Raises:
        SetupError: When this Python, the disk or the network does not allow it.
    """
    wanted = fingerprint()
    if not UNFINISHED.exists() and read_stamp() == wanted and works(PYTHON):
        return
    check_python()
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB:
        raise SetupError(
            f"The disk of {ROOT} has {free:.1f} GB free and {NEEDED_GB} GB are needed; make room."
        )
    prepare_folder()
    torch, others = read_requirements()
    environment = [sys.executable, "-m", "venv", VENV]
    install = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    steps = [] if works(PYTHON, "import pip") else [("making .venv", environment)]
    steps += [
        (f"installing {torch} (the largest part)", [*install, torch]),
        (f"installing {len(others)} pinned packages", [*install, *others]),
        ("installing this project", [*install, "--no-deps", "--no-build-isolation", "--editable", ROOT]),
    ]
    for number, (title, command) in enumerate(steps, start=1):
        run_step(f"[{number}/{len(steps)}] {title}", command)
    STAMP.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
    UNFINISHED.unlink()


def check_python() -> None:
    """Raises SetupError, in one sentence, when this Python cannot run the pinned packages."""
    span = f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    version = sys.version_info[:2]
    if version < OLDEST:
        raise SetupError(f"Python {version[0]}.{version[1]} is too old; run this with {span}.")
    if version > NEWEST:
        raise SetupError(
            f"Python {version[0]}.{version[1]} is too new for the pinned packages; run this with {span}."
        )
    if sys.maxsize < 2**32:
        raise SetupError(
            f"This is a 32-bit Python, for which torch does not exist; run this with a 64-bit {span}."
        )
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        raise SetupError(
            f"This Python lacks the module venv; on Debian and Ubuntu install it with: "
            f"sudo apt install python{version[0]}.{version[1]}-venv."
        )


def fingerprint() -> dict[str, str]:
    """Returns what the environment depends on; a change of any of it installs again."""
    files = (REQUIREMENTS, ROOT / "pyproject.toml")
    return {"root": str(ROOT), **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}}


def read_stamp() -> dict | None:
    """Returns what the last finished setup depended on, or None."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def works(python: Path, code: str = "") -> bool:
    """Returns whether an interpreter is there and runs a line of code."""
    try:
        command = [str(python), "-c", code]
        done = subprocess.run(command, capture_output=True, timeout=60, env=clean_environment())
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def prepare_folder() -> None:
    """Leaves .venv ready to be filled: packages half installed by an interrupted run are removed."""
    if VENV.exists() and (UNFINISHED.exists() or not works(PYTHON)):
        if Path(sys.prefix).resolve() == VENV.resolve():
            raise SetupError(
                "The folder .venv must be made anew; run this with the system's Python instead of its own."
            )
        try:
            shutil.rmtree(VENV)
        except OSError as error:
            raise SetupError(
                f"The unfinished folder {VENV} cannot be removed ({error.strerror}); close what uses it."
            ) from error
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    LOG.write_text("", encoding="utf-8")


def read_requirements() -> tuple[str, list[str]]:
    """Returns torch's pin and the others."""
    lines = (line.strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    pins = [line for line in lines if line and not line.startswith("#")]
    return pins[0], pins[1:]


def run_step(title: str, command: list) -> None:
    """Runs one step of the setup, showing the time it takes; its output goes to the log.

    Raises:
        SetupError: When the step fails, with the likeliest reason.
    """
    live = sys.stdout.isatty()
    started = time.monotonic()
    if not live:
        print(f"{title} ...", flush=True)
    with LOG.open("ab") as log:
        log.write(f"\n{title}\n".encode())
        log.flush()
        begin = log.tell()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=log, stderr=log, env=clean_environment()
        )
        try:
            while process.poll() is None:
                if live:
                    print(f"\r{title} ... {time.monotonic() - started:.0f} s", end="", flush=True)
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    seconds = time.monotonic() - started
    print(f"\r{title} ... {seconds:.0f} s" if live else f"{title}: {seconds:.0f} s", flush=True)
    if process.returncode:
        # A step that ended by itself left nothing half done, so the next run need not start anew.
        UNFINISHED.unlink()
        raise SetupError(explain_failure(title, begin))


def explain_failure(title: str, begin: int) -> str:
    """Returns one sentence on why a step failed, from what it wrote to the log after byte `begin`."""
    with LOG.open("rb") as log:
        log.seek(begin)
        text = log.read().decode("utf-8", "replace")
    if any(sign in text for sign in DISK_SIGNS):
        return f"The disk of {ROOT} is full; make room and run the same command again."
    if any(sign in text for sign in NETWORK_SIGNS):
        return (
            "The packages cannot be downloaded; check the network connection and run the same command again."
        )
    if any(sign in text for sign in MISSING_SIGNS):
        return f"A pinned package does not exist for this system or cannot be reached; {LOG} names it."
    reasons = re.findall(r"^.*(?:Error|ERROR): (.+)$", text, re.MULTILINE) or ["it does not say why"]
    return f"The step {title} failed ({reasons[-1][:200].strip()}); the whole output is in {LOG}."


def clean_environment() -> dict[str, str]:
    """Returns the environment without what would lead pip or Python out of .venv."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "__PYVENV_LAUNCHER__")
    return {key: value for key, value in os.environ.items() if key not in dropped}


def tool(name: str) -> Path:
    """Returns the path of a command in .venv."""
    return SCRIPTS / (f"{name}.exe" if os.name == "nt" else name)


def call(command: list, cwd: Path = ROOT) -> int:
    """Runs a command in the foreground and returns its exit code."""
    sys.stdout.flush()
    process = subprocess.Popen([str(part) for part in command], cwd=str(cwd), env=clean_environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            print(file=sys.stderr)  # the command heard Ctrl+C too; subprocess.run would kill it tidying up


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
