"""The repository as a whole: its top level, licence, pins and registered tests."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from build_tools import configure, require_build_tools
from packaging.requirements import Requirement
from shared_data import REPOSITORY

import SACBRegistrationLib

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CMakeLists.txt",
    "LICENSE",
    "README.md",
    "Resources",
    "SACBRegistration",
    "SACBRegistration.json",
    "SACBRegistration.s4ext",
    "SACBRegistrationLib",
    "Testing",
    "docs",
    "pyproject.toml",
    "run.py",
}


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("needs git and a clone, not an unpacked archive")
    command = ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def tools() -> dict[str, str]:
    return require_build_tools()


def test_top_level_holds_nothing_else(tracked):
    assert {name.split("/")[0] for name in tracked} <= TOP_LEVEL


def test_no_path_of_a_developers_machine(tracked):
    pattern = re.compile(r"/(?:home|Users|root|work)/[A-Za-z]|[A-Z]:\\\\Users")
    texts = [
        name
        for name in tracked
        if Path(name).suffix in {".py", ".md", ".json", ".toml", ".txt", ".cmake", ""}
    ]
    found = [
        name
        for name in texts
        if name != "Testing/Python/test_repository.py"
        and pattern.search((REPOSITORY / name).read_text(encoding="utf-8"))
    ]
    assert not found


def test_nothing_large_is_committed(tracked):
    sizes = {name: (REPOSITORY / name).stat().st_size for name in tracked if (REPOSITORY / name).exists()}
    assert max(sizes.values()) < 20 * 2**20


def test_licence_is_apache():
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and len(text) > 11_000


def test_version_is_the_same_everywhere():
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{SACBRegistrationLib.__version__}"' in project
    assert SACBRegistrationLib.__version__ in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_and_torch_is_first():
    lines = (REPOSITORY / "Testing" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert str(pins[0]) == "torch==2.13.0"
    for pin in pins:
        assert [clause.operator for clause in pin.specifier] == ["=="], f"{pin} is not pinned"
    assert {"vtk==9.6.0", "slicer-core==5.12.4.0"} <= {str(pin) for pin in pins}


@pytest.mark.parametrize("name", ["torch", "numpy", "SimpleITK", "vtk", "slicer-core"])
def test_tests_run_with_the_pinned_versions(name):
    lines = (REPOSITORY / "Testing" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pin = next(p for p in pins if p.name == name and (p.marker is None or p.marker.evaluate()))
    assert pin.specifier.contains(importlib.metadata.version(name))


def test_ci_script_can_be_run():
    script = REPOSITORY / ".ci" / "run"
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    if os.name == "posix":
        assert os.access(script, os.X_OK)


@pytest.mark.parametrize("group_size", [0, 5])
def test_every_test_file_is_run_once(tools, tmp_path, group_size):
    configure(tools, REPOSITORY, tmp_path, f"-DSACB_TEST_GROUP_SIZE={group_size}").check_returncode()
    command = [tools["ctest"], "--test-dir", tmp_path, "--show-only=json-v1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    tests = {test["name"]: test for test in json.loads(done.stdout)["tests"]}
    files = sorted(path.name for path in (REPOSITORY / "Testing/Python").glob("test_*.py"))
    parts = [Path(part).name for test in tests.values() for part in test["command"]]
    assert sorted(part for part in parts if part.startswith("test_")) == files
    names = {name.removeprefix("test_").removesuffix(".py") for name in files} | {"ruff_lint", "ruff_format"}
    grouped = {name for name in tests if name.startswith("together_")}
    assert set(tests) == names if group_size == 0 else set(tests) - names == grouped and len(grouped) > 10
    for test in tests.values():
        properties = {entry["name"]: entry["value"] for entry in test["properties"]}
        assert properties["TIMEOUT"] > 0
        # Nothing may turn a failure into a skip.
        assert not {"SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION", "WILL_FAIL", "DISABLED"} & set(properties)


BODIES = {
    "grid": "def test_it():\n    pass\n",
    "inverse": "def test_it():\n    assert 0\n",
    "jacobian": "\n",
    "losses": "import os\ndef test_it():\n    os.abort()\n",
}
"""Files that pass, fail, hold no test and crash."""


def test_failing_empty_and_crashing_test_files_fail(tools, tmp_path):
    source = tmp_path / "source"
    (source / "Testing" / "Python").mkdir(parents=True)
    for name in ("CMakeLists.txt", "Testing/CMakeLists.txt", "Testing/together.py"):
        shutil.copy(REPOSITORY / name, source / name)
    for name, body in BODIES.items():
        (source / "Testing" / "Python" / f"test_{name}.py").write_text(body, encoding="utf-8")
    for size, names in ((0, BODIES), (1, [f"together_torch_{n}" for n in (1, 2, 3, 4)])):
        build = tmp_path / f"build{size}"
        configure(tools, source, build, f"-DSACB_TEST_GROUP_SIZE={size}").check_returncode()
        command = [tools["ctest"], "--test-dir", build, "-R", f"^({'|'.join(names)})$"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode != 0
        outcome = re.findall(r"Test +#\d+: \w+ \.+[ *]*(Passed|Failed|Subprocess aborted)", done.stdout)
        assert len(outcome) == 4 and outcome[0] == "Passed" and "Passed" not in outcome[1:], done.stdout


def test_a_crash_leaves_the_other_files_of_a_group_to_be_run(tmp_path):
    files = []
    for name in ("losses", "jacobian", "grid"):
        files.append(tmp_path / f"test_{name}.py")
        files[-1].write_text(BODIES[name], encoding="utf-8")
    command = [
        sys.executable,
        REPOSITORY / "Testing" / "together.py",
        "--import",
        "nowhere",
        "--files",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "nowhere was not imported" in done.stderr
    codes = dict(re.findall(r"^test_(\w+)\.py: exit code (-?\d+),", done.stdout, re.M))
    assert codes["jacobian"] == "5" and codes["grid"] == "0" and codes["losses"] not in ("0", "5")
