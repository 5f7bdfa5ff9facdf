"""The extension as Slicer builds it: configured, built and installed against a stand-in for Slicer.

Testing/CMake holds the stand-in. It writes down the calls of Slicer's macros and installs as they do.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from build_tools import configure, require_build_tools
from fresh_python import check_resources, resources_seen_from
from shared_data import REPOSITORY

STAND_IN = REPOSITORY / "Testing" / "CMake"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"
OPTIONS = (f"-DSlicer_DIR={STAND_IN}", f"-DCMAKE_TOOLCHAIN_FILE={STAND_IN / 'no_compiler.cmake'}")
LIST = "SACBRegistration/files.cmake"
LOAD = """
import json, sys
module, *folders = sys.argv[1:]
sys.path += folders
from slicer_host import start_host
widget = start_host().load_module(module)
from SACBRegistrationLib import resources, worker
print(json.dumps([
    type(widget).__name__,
    sys.modules["SACBRegistration"].__file__,
    resources.__file__,
    worker.__file__,
    str(resources.ui_file("SACBRegistration.ui")),
    str(resources.resource_folder("Weights")),
]))
"""


def files_of(root: Path) -> set[str]:
    """Returns what an installed module needs: its folder's modules, the library and all resources."""
    found = {path for folder in ("SACBRegistrationLib", "Resources") for path in (root / folder).rglob("*")}
    needed = {
        path.relative_to(root).as_posix()
        for path in found
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    return needed | {path.name for path in (root / "SACBRegistration").glob("*.py")}


def listed_in(root: Path) -> set[str]:
    return set(re.findall(r"^  (\S+/\S+)$", (root / LIST).read_text(encoding="utf-8"), re.MULTILINE))


def install(tools: dict[str, str], source: Path, build: Path, prefix: Path) -> list[list[str]]:
    """Returns the recorded calls, each a command with its arguments."""
    done = configure(tools, source, build, *OPTIONS, f"-DCMAKE_INSTALL_PREFIX={prefix}")
    assert done.returncode == 0, done.stderr
    done = subprocess.run([tools["cmake"], "--build", build], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    subprocess.run([tools["cmake"], "--install", build], check=True, capture_output=True)
    lines = (build / "recorded.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


@pytest.fixture(scope="module")
def tools() -> dict[str, str]:
    return require_build_tools()


@pytest.fixture(scope="module")
def installed(tools, tmp_path_factory) -> tuple[Path, list[list[str]]]:
    """The installed tree and the calls that led to it."""
    folder = tmp_path_factory.mktemp("extension")
    prefix = folder / "Slicer Erweiterungen é"
    return prefix, install(tools, REPOSITORY, folder / "build", prefix)


@pytest.fixture
def copied_source(tmp_path) -> Path:
    """A copy of what the extension is built from."""
    source = tmp_path / "source"
    for name in ("SACBRegistration", "SACBRegistrationLib", "Resources"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source / name)
    return source


def test_list_names_every_file():
    wanted = files_of(REPOSITORY) - {"SACBRegistration.py"}
    missing, gone = sorted(wanted - listed_in(REPOSITORY)), sorted(listed_in(REPOSITORY) - wanted)
    assert not missing, f"add to {LIST}: {' '.join(missing)}"
    assert not gone, f"remove from {LIST}: {' '.join(gone)}"


def test_list_is_sorted():
    for block in (REPOSITORY / LIST).read_text(encoding="utf-8").split("set(")[1:]:
        names = re.findall(r"^  (\S+/\S+)$", block, re.MULTILINE)
        assert names == sorted(names) and len(names) == len(set(names))


def test_everything_is_installed_where_the_module_looks_and_nothing_else(installed):
    prefix, _ = installed
    names = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    wanted = {f"{MODULES}/{name}" for name in files_of(REPOSITORY)}
    assert len(wanted) > 60
    assert sorted(wanted - names) == []
    assert sorted(names - wanted) == []


def test_installed_files_are_the_source_files(installed):
    prefix, _ = installed
    for name in listed_in(REPOSITORY) | {"SACBRegistration.py"}:
        source = REPOSITORY / ("SACBRegistration" if "/" not in name else "") / name
        assert (prefix / MODULES / name).read_bytes() == source.read_bytes(), name


def test_installed_library_finds_its_resources(installed, tmp_path):
    prefix, _ = installed
    check_resources(resources_seen_from(prefix / MODULES, tmp_path), prefix)


def test_source_tree_finds_its_resources(tmp_path):
    check_resources(resources_seen_from(REPOSITORY, tmp_path), REPOSITORY)


def load_module(folder: Path, working_folder: Path) -> list[str]:
    """Returns the kind of widget, and where its files come from, when Slicer is told of one module folder."""
    pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")
    pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
    # Without site: an installed copy of this project would stand in for what is missing here.
    packages = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    command = [sys.executable, "-I", "-S", "-c", LOAD, folder / "SACBRegistration.py"]
    command += [REPOSITORY / "Testing" / "Host", *packages]
    done = subprocess.run([str(part) for part in command], cwd=working_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_module_loads_from_the_installed_tree(installed, tmp_path):
    folder = installed[0] / MODULES
    kind, *files = load_module(folder, tmp_path)
    assert kind == "SACBRegistrationWidget"
    assert [file for file in files if not Path(file).resolve().is_relative_to(folder.resolve())] == []


def test_module_loads_from_the_source_tree(tmp_path):
    kind, *files = load_module(REPOSITORY / "SACBRegistration", tmp_path)
    assert kind == "SACBRegistrationWidget"
    assert [file for file in files if not Path(file).resolve().is_relative_to(REPOSITORY)] == []


def test_slicer_finds_the_icon_beside_the_module(installed):
    # Slicer itself looks for Resources/Icons/<module>.png next to the module's file.
    assert (installed[0] / MODULES / "Resources/Icons/SACBRegistration.png").is_file()


def test_calls_of_slicers_macros(installed):
    _, calls = installed
    modules = [call for call in calls if call[0] == "slicerMacroBuildScriptedModule"]
    assert [call[1:3] for call in modules] == [["NAME", "SACBRegistration"], ["NAME", "SACBRegistrationLib"]]
    assert ["generic_tests", "SACBRegistration"] in calls
    assert ["slicer_add_python_unittest", "SCRIPT", "SACBRegistration.py"] in calls
    # Slicer's last two includes read what all the others have set.
    assert calls[-1] == ["Slicer_EXTENSION_CPACK"] and ["Slicer_EXTENSION_GENERATE_CONFIG"] in calls
    variables = {call[0].removeprefix("EXTENSION_"): call[1] for call in calls if len(call) == 2}
    assert variables["NAME"] == "SACBRegistration"
    assert variables["DEPENDS"] == "PyTorch"
    assert variables["CATEGORY"] == "Registration"
    assert Path(variables["LICENSE_FILE"]) == REPOSITORY / "LICENSE"
    assert Path(variables["README_FILE"]) == REPOSITORY / "README.md"


def test_file_that_is_not_listed_is_noticed(tools, copied_source, tmp_path):
    new = {"SACBRegistrationLib/imaging/new.py", "Resources/Presets/new.json"}
    for name in new:
        (copied_source / name).write_text("\n", encoding="utf-8")
    assert files_of(copied_source) - {"SACBRegistration.py"} - listed_in(copied_source) == new
    install(tools, copied_source, tmp_path / "build", tmp_path / "prefix")
    assert not list((tmp_path / "prefix").rglob("new.*"))


def test_listed_file_that_is_gone_stops_the_build(tools, copied_source, tmp_path):
    (copied_source / "SACBRegistrationLib/imaging/grid.py").unlink()
    done = configure(tools, copied_source, tmp_path / "build", *OPTIONS)
    assert done.returncode != 0
    assert "SACBRegistrationLib/imaging/grid.py" in done.stderr


def test_slicer_may_bundle_it(tools, tmp_path):
    # A custom Slicer adds the extension's folder to its own project instead of pointing to itself.
    slicer = f"""
        cmake_minimum_required(VERSION 3.20)
        project(Slicer)
        list(APPEND CMAKE_PREFIX_PATH [[{STAND_IN.as_posix()}]])
        add_subdirectory([[{REPOSITORY.as_posix()}]] bundled)
        """
    (tmp_path / "CMakeLists.txt").write_text(slicer, encoding="utf-8")
    done = configure(tools, tmp_path, tmp_path / "build", OPTIONS[1])
    assert done.returncode == 0, done.stderr
    recorded = (tmp_path / "build" / "recorded.txt").read_text(encoding="utf-8")
    assert "EXTENSION_NAME\tSACBRegistration\n" in recorded


def test_without_slicer_it_is_the_test_project(tools, tmp_path):
    done = configure(tools, REPOSITORY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "recorded.txt").exists()
    assert "extension_build" in (tmp_path / "Testing" / "CTestTestfile.cmake").read_text(encoding="utf-8")
