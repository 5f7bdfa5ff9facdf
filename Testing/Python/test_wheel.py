"""The wheel: what pip installs outside Slicer, built and looked into."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fresh_python import check_resources, resources_seen_from
from shared_data import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed: run.py setup installs it")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_library_its_resources_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = REPOSITORY / "SACBRegistrationLib"
    modules = {path.relative_to(REPOSITORY).as_posix() for path in library.rglob("*.py")}
    resources = {
        f"SACBRegistrationLib/{path.relative_to(REPOSITORY).as_posix()}"
        for path in (REPOSITORY / "Resources").rglob("*")
        if path.is_file()
    }
    assert len(modules) > 50 and len(resources) > 6
    assert names == modules | resources


def test_library_finds_its_resources_once_installed(wheel, tmp_path):
    site = tmp_path / "site packages"
    zipfile.ZipFile(wheel).extractall(site)
    check_resources(resources_seen_from(site, tmp_path), site)


def test_command_is_declared(wheel):
    archive = zipfile.ZipFile(wheel)
    (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "sacb-registration = SACBRegistrationLib.cli.main:main" in archive.read(entry).decode()
