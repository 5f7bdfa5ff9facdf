"""Broken machines: a killed worker, a full disk, no memory, files that go away, clocks that run backwards."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid
from shared_data import REPOSITORY
from small_pairs import blob_pair, snapshot, write_preset, write_weights
from warm_python import WarmProcess, warm_python
from worker_fixtures import job_of, temporary, wait  # noqa: F401

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging import reading
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.registration import saving
from SACBRegistrationLib.registration.register import _SHARES
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.job import OUTPUTS
from SACBRegistrationLib.worker.run import WorkerRun

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")
# What a run tells on its way: the stages of a registration, and what the worker does with the result.
STAGES = (*_SHARES, "volumes", "quality", "inverse")

DIES = """
import os, signal, sys
from SACBRegistrationLib.worker.main import main
from SACBRegistrationLib.worker.messages import MessageWriter
usual = MessageWriter.progress
def progress(self, fraction, stage):
    if stage == {name!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    usual(self, fraction, stage)
MessageWriter.progress = progress
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    return {"preset": str(write_preset(folder, (32, 32, 32))), "weights": str(write_weights(folder))}


@pytest.fixture(scope="module")
def warm():
    with warm_python() as python:
        yield python


def run_worker(process: WarmProcess, small: dict[str, str]):
    settings = RegistrationSettings(**small, device="cpu", refine=1, alignment="none", clusters=3)
    with WorkerRun(process) as run:
        run.launch()
        images = dict(zip(("fixed", "moving"), blob_pair(), strict=True))
        run.submit(job_of(run.folder, settings, images, outputs=frozenset(OUTPUTS)))
        status = wait(run)
    assert not run.folder.exists() and not process.is_running()
    return status


@posix
@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("name", STAGES)
def test_a_worker_killed_at_any_stage_leaves_nothing(small, warm, name):
    status = run_worker(WarmProcess(warm, DIES.format(name=name)), small)
    assert status.state == "failed" and "was killed from outside (SIGKILL)" in status.error


@posix
@pytest.mark.usefixtures("temporary")
def test_a_worker_that_nobody_kills_comes_to_its_end(small, warm):
    status = run_worker(WarmProcess(warm, DIES.format(name="no stage")), small)
    assert status.state == "done", status.error
    assert list(status.result.report["seconds"])[:-1] == list(_SHARES)


SAVES = """
import os, signal, sys
from SACBRegistrationLib.registration import saving
from SACBRegistrationLib.registration.register import _SHARES
from SACBRegistrationLib.registration.stages import Stages
saving._draw = lambda result, path: path.write_bytes(b"")
flush, stage = saving.flush, Stages.stage
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def flush_and_die(folder):
    flush(folder)
    if {when!r} == "the flush":
        die()
def stage_of_death(self, name):
    return die() if name == {when!r} else stage(self, name)
saving.flush, Stages.stage = flush_and_die, stage_of_death
from SACBRegistrationLib.cli.main import main
sys.exit(main(["register", *sys.argv[1:]]))
"""


def save_pair(folder: Path, small: dict[str, str]) -> list[str]:
    """Writes a pair; returns the arguments that register it."""
    files = [str(folder / f"{role}.nrrd") for role in ("fixed", "moving")]
    for file, image in zip(files, blob_pair(), strict=True):
        sitk.WriteImage(image, file)
    options = [*files, "-o", str(folder / "out"), "--preset", small["preset"], "--weights", "none"]
    return [*options, "--refine", "1", "--alignment", "none", "--device", "cpu", "--inverse"]


@posix
@pytest.mark.parametrize("when", ["inverse", "picture", "the flush"])
def test_a_command_killed_while_it_writes_shows_nothing_and_the_next_is_clean(small, warm, tmp_path, when):
    (tmp_path / "data").mkdir()
    options = save_pair(tmp_path / "data", small)
    before = snapshot(tmp_path / "data")
    code, said = warm.run(SAVES.format(when=when), options, tmp_path)
    assert code == -signal.SIGKILL, said
    hidden = {name for name in snapshot(tmp_path / "data") if name not in before}
    assert hidden and all(name.startswith(".sacb-") for name in hidden)
    assert not (tmp_path / "data" / "out").exists()
    if when != "inverse":
        assert any(name.endswith("transform.nrrd") for name in hidden), "it was killed before it wrote"
    # With this every run begins.
    saving.check_output_folder(tmp_path / "data" / "out")
    assert snapshot(tmp_path / "data") == before


def noise(sides: tuple[int, int, int]) -> sitk.Image:
    values = np.random.default_rng(0).normal(size=sides[::-1]).astype(np.float32)
    return sitk.GetImageFromArray(values)


@pytest.mark.parametrize("lost", [1, 300, 5000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_lost_its_end_does_not_count_as_written(tmp_path, monkeypatch, lost, packed):
    path = tmp_path / "image.nrrd"
    sitk.WriteImage(noise((20, 18, 16)), str(path), packed)
    saving._check_written(path)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(OSError, match="No space left"):
        saving._check_written(path)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk of Linux")
@pytest.mark.parametrize("pages_too_few", [1, 2, 20])
@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_that_is_full_to_the_last_page_is_noticed(tmp_path, pages_too_few, packed):
    """ITK raises when a write fails, but not when closing the file does, which holds back up to a page."""
    image = noise((40, 30, 20))
    sitk.WriteImage(image, str(tmp_path / "whole.nrrd"), packed)
    needed = -(-(tmp_path / "whole.nrrd").stat().st_size // 4096)
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={(needed - pages_too_few) * 4096}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.decode(errors='replace').strip()}")
    try:
        with pytest.raises((OSError, RuntimeError)):
            if packed:
                saving._write_image(image, disk / "image.nrrd")
            else:
                sitk.WriteImage(image, str(disk / "image.nrrd"), False)
                saving._check_written(disk / "image.nrrd")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("when", ["before the header", "before the voxels"])
def test_a_file_that_goes_away_while_it_is_read_is_told(tmp_path, monkeypatch, capfd, suffix, when):
    path = tmp_path / f"scan.{suffix}"
    sitk.WriteImage(blobs(oblique_grid((12, 11, 10))), str(path))
    usual = dict(reading._CLAIMS)

    def goes(claim_of):
        def claim(file: Path):
            if when == "before the header":
                file.unlink()
                return claim_of(file)
            found = claim_of(file)
            file.unlink()
            return found

        return claim

    monkeypatch.setattr(reading, "_CLAIMS", {name: goes(call) for name, call in usual.items()})
    with pytest.raises(UserError) as caught:
        read_volume(path, "fixed")
    message = str(caught.value)
    assert message.startswith(f"The fixed image ({path}) ") and "check its disk" in message
    assert "\n" not in message and capfd.readouterr().err == ""


SCARCE = """
import resource, sys
sys.path.insert(0, {root!r})
import torch, SimpleITK
from SACBRegistrationLib import register
from SACBRegistrationLib.cli.main import main
torch.set_num_threads(1)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {more} * 2**20,) * 2)
sys.exit(main(["register", *sys.argv[1:]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_without_memory_the_command_says_so_and_leaves_nothing(tmp_path):
    for role in ("fixed", "moving"):
        sitk.WriteImage(noise((150, 140, 130)), str(tmp_path / f"{role}.nrrd"))
    before = snapshot(tmp_path)
    files = [str(tmp_path / f"{role}.nrrd") for role in ("fixed", "moving")]
    options = [*files, "-o", str(tmp_path / "out"), "--weights", "none", "--refine", "1", "--device", "cpu"]
    command = [sys.executable, "-c", SCARCE.format(root=str(REPOSITORY), more=40), *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    said = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert "memory" in said[-1].lower()
    assert snapshot(tmp_path) == before


def library_calls() -> list[tuple[Path, str]]:
    found = []
    for path in sorted((REPOSITORY / "SACBRegistrationLib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.append((path.relative_to(REPOSITORY), ast.unparse(node.func)))
    return found


def test_no_part_of_the_library_measures_with_the_clock_on_the_wall():
    """Durations and waits use clocks that nobody can set; dates stand in two tables, for people."""
    wall = ("time.time", "time.time_ns", "now", "utcnow", "today", "localtime", "time.gmtime")
    calls = [(path, name) for path, name in library_calls() if name.endswith(wall)]
    dated = {"comparison/run.py", "benchmark/circumstances.py"}
    assert {path.as_posix() for path, _ in calls} == {f"SACBRegistrationLib/{name}" for name in dated}
