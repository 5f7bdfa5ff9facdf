"""The repository as a whole: its top level, licence, pins and registered tests."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
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


def test_every_test_file_is_a_ctest_test(tools, tmp_path):
    configure(tools, REPOSITORY, tmp_path).check_returncode()
    command = [tools["ctest"], "--test-dir", tmp_path, "--show-only=json-v1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    tests = {test["name"]: test for test in json.loads(done.stdout)["tests"]}
    files = {path.stem.removeprefix("test_") for path in (REPOSITORY / "Testing/Python").glob("test_*.py")}
    assert set(tests) == files | {"ruff_lint", "ruff_format"}
    for test in tests.values():
        properties = {entry["name"]: entry["value"] for entry in test["properties"]}
        assert properties["TIMEOUT"] > 0
        # Nothing may turn a failure into a skip.
        assert not {"SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION", "WILL_FAIL", "DISABLED"} & set(properties)


def test_failing_and_empty_test_files_fail(tools, tmp_path):
    source = tmp_path / "source"
    (source / "Testing" / "Python").mkdir(parents=True)
    for name in ("CMakeLists.txt", "Testing/CMakeLists.txt"):
        shutil.copy(REPOSITORY / name, source / name)
    bodies = {"good": "def test_it():\n    pass\n", "bad": "def test_it():\n    assert 0\n", "empty": "\n"}
    for name, body in bodies.items():
        (source / "Testing" / "Python" / f"test_{name}.py").write_text(body, encoding="utf-8")
    configure(tools, source, tmp_path / "build").check_returncode()
    command = [tools["ctest"], "--test-dir", tmp_path / "build", "-R", "^(good|bad|empty)$"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    outcome = dict(re.findall(r"Test +#\d+: (\w+) \.+[ *]*(Passed|Failed)", done.stdout))
    assert outcome == {"good": "Passed", "bad": "Failed", "empty": "Failed"}
