"""The real worker: the same result as in one process, and gone when nobody wants it any more."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid
from shared_data import REPOSITORY
from small_pairs import blob_pair, same_geometry, write_preset, write_weights
from worker_fixtures import (
    ScriptProcess,
    job_of,
    read_through_simpleitk,
    temporary,  # noqa: F401
    wait,
    wait_until,
)

from SACBRegistrationLib.registration import RegistrationResult, register
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.job import OUTPUTS, Structure
from SACBRegistrationLib.worker.parent_watch import EXIT_ABANDONED
from SACBRegistrationLib.worker.process import PopenProcess
from SACBRegistrationLib.worker.python_command import PARENT as PARENT_NUMBER
from SACBRegistrationLib.worker.run import PROGRAM, RunStatus, WorkerRun

pytestmark = pytest.mark.usefixtures("temporary")
posix = pytest.mark.skipif(sys.platform == "win32", reason="kills with the signals of POSIX")

# Runs the worker's program as `python main.py FOLDER` would, after a line of the test's own.
BEFORE = """import runpy, sys
sys.path.insert(0, {root!r})
{line}
runpy.run_path({program!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("Gewichte ß")
    return {"preset": str(write_preset(folder)), "weights": str(write_weights(folder))}


def program_after(folder: Path, line: str) -> ScriptProcess:
    path = folder / "before.py"
    path.write_text(BEFORE.format(root=str(REPOSITORY), line=line, program=str(PROGRAM)), encoding="utf-8")
    return ScriptProcess(path)


def registered(process: PopenProcess, settings: RegistrationSettings, images, keep=None, **more) -> RunStatus:
    with WorkerRun(process) as run:
        run.launch()
        run.submit(job_of(run.folder, settings, images, **more))
        status = wait(run)
        if keep is not None:
            shutil.copytree(run.folder, keep)
    assert not run.folder.exists() and not process.is_running()
    return status


@pytest.fixture(scope="module")
def in_this_process(small) -> tuple[dict, dict[str, sitk.Image], RegistrationResult]:
    """Returns the choices, the images and what `register` makes of them."""
    fixed, moving = blob_pair()
    images = {"fixed": fixed, "moving": moving, "fixed_mask": sitk.Cast(fixed > 0.05, sitk.sitkUInt8)}
    choices = {**small, "device": "cpu", "refine": 2, "seed": 5, "clusters": 4}
    result = register(**images, **choices)
    result.inverse()
    return choices, images, result


def test_the_result_is_the_same_as_in_one_process(in_this_process, tmp_path):
    choices, given, expected = in_this_process
    both = (Structure("blob", "structure_0", 1),)
    status = registered(
        PopenProcess(),
        RegistrationSettings(**choices),
        {**given, "structure_0": given["fixed_mask"]},
        keep=tmp_path / "kept",
        outputs=OUTPUTS,
        structures={"fixed": both, "moving": both},
        points={"fixed": {"a": (12.0, -31.0, 47.0)}, "moving": {"a": (15.0, -35.0, 47.0)}},
    )
    assert status.state == "done", status.error
    images = {"displacement_field": expected.displacement_field, "warped": expected.warped}
    images |= {f"clusters_{level}_{role}": image for (level, role), image in expected.cluster_maps.items()}
    images["inverse_field"] = expected.inverse().displacement_field
    assert set(status.result.images) == {*images, "magnitude", "jacobian"} and len(images) == 11
    for key, image in images.items():
        found = read_through_simpleitk(status.result.images[key], tmp_path / "kept")
        assert same_geometry(found, image) and found.GetPixelID() == image.GetPixelID()
        difference = sitk.GetArrayFromImage(found) != sitk.GetArrayViewFromImage(image)
        assert not difference.any(), f"{key} differs in {difference.mean():.2%} of its values"
    assert status.result.report["local_ncc"] == expected.report["local_ncc"]
    assert status.result.report["settings"]["seed"] == 5
    assert set(status.result.quality["structures"]) == {"blob"}
    assert status.result.quality["points"]["a"][0] == pytest.approx(5.0)
    assert "DEBUG: SACBRegistrationLib." in status.log


def test_a_mistake_of_the_user_is_told_in_its_sentence(small):
    fixed, moving = blob_pair()
    status = registered(
        PopenProcess(), RegistrationSettings(**small, device="cpu"), {"fixed": fixed * 0, "moving": moving}
    )
    assert status.state == "failed"
    assert status.error == "The fixed image is empty: every voxel has the value 0."
    assert "UserError" in status.log, "the log says where"


def test_what_libraries_print_does_no_harm(small, tmp_path):
    line = (
        "import os, logging, warnings, SACBRegistrationLib.registration\n"
        "r = sys.modules['SACBRegistrationLib.registration.register']\n"
        "former = r.check_settings\n"
        "def chatty(settings):\n"
        "    print('printed'); os.write(1, b'written'); warnings.warn('warned')\n"
        "    logging.getLogger('other').warning('logged')\n"
        "    return former(settings)\n"
        "r.check_settings = chatty"
    )
    fixed, moving = blob_pair()
    settings = RegistrationSettings(preset=small["preset"], weights="none", refine=0, device="cpu")
    status = registered(program_after(tmp_path, line), settings, {"fixed": fixed, "moving": moving})
    assert status.state == "done", status.error
    assert "WARNING: other: logged" in status.log and "warned" in status.log
    assert "written" in status.log and "unreadable" not in status.log


def test_without_torch_it_says_what_is_missing(small, tmp_path):
    fixed, moving = blob_pair()
    status = registered(
        program_after(tmp_path, "sys.modules['torch'] = None"),
        RegistrationSettings(**small),
        {"fixed": fixed, "moving": moving},
    )
    assert status.state == "failed" and "needs PyTorch" in status.error and "install it" in status.error


def test_a_job_that_is_none_is_told():
    with WorkerRun(PopenProcess()) as run:
        run.launch()
        (run.folder / "job.json").write_text("{}")
        status = wait(run)
    assert status.state == "failed" and "ValueError" in status.error


def test_the_program_wants_a_folder():
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr


@posix
def test_a_worker_whose_folder_is_gone_ends(tmp_path):
    with WorkerRun(PopenProcess()) as run:
        run.launch()
        shutil.rmtree(run.folder)
        wait_until(lambda: not run._process.is_running(), 10)


@posix
def test_a_worker_behind_a_launcher_ends_with_the_parent(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    command = [sys.executable, str(PROGRAM), str(folder)]
    # The input stays open here, as when a launcher holds it that does not notice its own parent's end.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env={**os.environ, PARENT_NUMBER: str(parent.pid)}
    ) as worker:
        time.sleep(1)
        assert worker.poll() is None and folder.is_dir()
        parent.kill()
        parent.wait()
        assert worker.wait(10) == EXIT_ABANDONED and not folder.exists()


@posix
def test_a_worker_without_an_input_ends(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    code = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    assert (
        subprocess.run([sys.executable, "-c", code, str(PROGRAM), str(folder)], timeout=30).returncode
        == EXIT_ABANDONED
    )
    assert not folder.exists()


def lasting(preset: str) -> tuple[RegistrationSettings, dict[str, sitk.Image]]:
    """Returns a registration that takes long enough to be interrupted."""
    fixed = oblique_grid((110, 100, 90), (1.1, 1.2, 1.3))
    moving = oblique_grid((100, 100, 100), (1.2, 1.2, 1.2), degrees=(-7.0, 12.0, 5.0))
    settings = RegistrationSettings(
        preset=preset, weights="none", refine=5000, alignment="affine", device="cpu"
    )
    return settings, {"fixed": blobs(fixed), "moving": blobs(moving)}


def test_cancelling_in_the_middle_of_the_work(small):
    with WorkerRun(PopenProcess()) as run:
        run.launch()
        settings, images = lasting(small["preset"])
        run.submit(job_of(run.folder, settings, images))
        wait(run, state=("running",))
        time.sleep(0.5)
        begun = time.monotonic()
        run.cancel()
        assert wait(run, 5).state == "cancelled" and time.monotonic() - begun < 2.5
        assert not run.folder.exists()


PARENT = """
import sys, time
sys.path[:0] = {paths!r}
from test_worker_process import *
run = WorkerRun(PopenProcess())
run.launch()
print(run.folder, run._process._process.pid, sep="\\t", flush=True)
when = sys.argv[1]
if when != "loading":
    if when == "working":
        settings, images = lasting(sys.argv[2])
    else:
        settings = RegistrationSettings(preset=sys.argv[2], weights="none", refine=0, alignment="none")
        images = dict(zip(("fixed", "moving"), blob_pair()))
    run.submit(job_of(run.folder, settings, images))
    status = wait(run, state=("running", "failed") if when == "working" else ("done", "failed"))
    assert status.state != "failed", status.error
    time.sleep(0.5)
print("ready", flush=True)
time.sleep(120)
"""


@posix
@pytest.mark.parametrize(
    ("way", "when"),
    [
        (signal.SIGKILL, "loading"),
        (signal.SIGKILL, "working"),
        (signal.SIGKILL, "done"),
        (signal.SIGTERM, "working"),
    ],
)
def test_a_parent_that_is_killed_leaves_nothing_behind(small, way, when):
    paths = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "Python")]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(paths=paths), when, small["preset"]],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as parent:
        try:
            folder, pid = parent.stdout.readline().rstrip("\n").split("\t")
            assert parent.stdout.readline() == "ready\n"
            assert Path(folder).is_dir() and is_alive(int(pid))
        finally:
            parent.send_signal(way)
    wait_until(lambda: not Path(folder).exists() and not is_alive(int(pid)), 5)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        # Nobody may be there to bury the orphan.
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
