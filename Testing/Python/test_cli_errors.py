"""What a user can get wrong at `sacb-registration register`: exit code 2, one sentence, nothing written."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from refusals import (
    FAST,
    ROLES,
    SIZE,
    Bench,
    labels,
    run,
    sheared,
    shown,
    volume,
    with_voxel,
    write,
)
from shared_data import REPOSITORY
from small_pairs import snapshot

from SACBRegistrationLib.cli import register_command
from SACBRegistrationLib.network.checkpoint import save_checkpoint
from SACBRegistrationLib.network.sacb_net import SACBNet
from SACBRegistrationLib.registration import saving


@pytest.fixture
def bench(tmp_path, capfd):
    return Bench(tmp_path, capfd)


def test_the_same_call_without_a_mistake_works(bench):
    """Every test below differs from this call by one mistake."""
    assert run(bench.files["fixed"], bench.files["moving"], "-o", bench.output, *FAST) == 0
    assert sitk.ReadImage(str(bench.output / "transform.nrrd")).GetNumberOfComponentsPerPixel() == 3
    assert (bench.output / "notes.txt").read_text(encoding="utf-8") == "keep me"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz"])
def test_files_that_cannot_be_read(bench, role, suffix):
    path = bench.folder / f"scan.{suffix}"
    subject = f"The {role} image ({path})"
    assert bench.refused(**{role: path}) == f"{subject} does not exist; check the path."
    path.write_text("no image " * 100, encoding="utf-8")
    assert "cannot be read" in bench.refused(**{role: path})
    noise = sitk.AdditiveGaussianNoise(volume(), 1.0, 0.0, 1)
    content = write(noise, path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    sentence = bench.refused(**{role: path})
    assert sentence.startswith(subject) and "truncated" in sentence
    path.write_bytes(b"")
    assert "empty file" in bench.refused(**{role: path})


BAD_VOLUMES = {
    "2d": (lambda: volume()[:, :, 9], "2 dimensions"),
    "4d": (lambda: sitk.JoinSeries([volume()] * 3), "4 dimensions"),
    "vector": (lambda: sitk.Compose([volume()] * 3), "3 values per voxel"),
    "colour": (lambda: sitk.Image(SIZE, sitk.sitkVectorUInt8, 3), "colour"),
    "complex": (lambda: sitk.Image(SIZE, sitk.sitkComplexFloat32), "per voxel|complex"),
    "thin": (lambda: volume()[:, :, 9:10], "at least 4"),
    "empty": (lambda: sitk.Image(SIZE, sitk.sitkInt16), "empty"),
    "constant": (lambda: sitk.Image(SIZE, sitk.sitkInt16) + 7, "every voxel has the value 7"),
    "nan": (lambda: with_voxel(float("nan")), "NaN or infinite"),
    "infinite": (lambda: with_voxel(float("inf")), "NaN or infinite"),
    "sheared": (sheared, "orthonormal"),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", BAD_VOLUMES)
def test_volumes_that_cannot_be_registered(bench, role, kind):
    make, reason = BAD_VOLUMES[kind]
    path = write(make(), bench.folder / "bad.mha")
    sentence = bench.refused(**{role: path})
    assert sentence.startswith(f"The {role} image ({path})")
    assert re.search(reason, sentence)


def test_images_that_do_not_overlap(bench):
    far = write(volume(center=(900.0, 0.0, 0.0)), bench.folder / "far.nrrd")
    assert "do not overlap after alignment" in bench.refused(moving=far)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--preset", "knee"), 'no preset "knee"'),
        (("--preset", "missing.json"), "missing.json"),
        (("--clusters", "1"), "from 2 to 32, not 1"),
        (("--clusters", "33"), "from 2 to 32, not 33"),
        (("--clusters=-7",), "from 2 to 32, not -7"),
        (("--refine=-1",), "refinement steps must be 0 or more, not -1"),
        (("--field-spacing", "0"), "field spacing must be"),
        (("--field-spacing=-2",), "field spacing must be"),
        (("--field-spacing", "nan"), "field spacing must be"),
        (("--field-spacing", "1000"), "field spacing must be"),
        (("--seed=-1",), "seed must be"),
    ],
)
def test_choices_out_of_range(bench, options, reason):
    assert reason in bench.refused(*options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no mistake")
def test_cuda_without_a_gpu(bench):
    assert "CUDA" in bench.refused("--device", "cuda")


def damaged_checkpoint(kind: str, path: Path) -> Path:
    if kind == "missing":
        return path
    save_checkpoint(path, SACBNet(), {"preset": "ixi"})
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
        return path
    if kind == "no torch file":
        path.write_text("weights " * 1000, encoding="utf-8")
        return path
    content = torch.load(path, weights_only=True)
    first = next(iter(content["state_dict"]))
    if kind == "wrong shape":
        content["state_dict"][first] = torch.zeros(3, 3)
    if kind == "lacks a key":
        del content["state_dict"][first]
    if kind == "other program's":
        content = {"model": {"weight": torch.zeros(3)}}
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "does not exist"),
        ("truncated", "damaged"),
        ("no torch file", "damaged"),
        ("wrong shape", "has shape"),
        ("lacks a key", "is missing"),
        ("other program's", "state_dict"),
    ],
)
def test_checkpoints_that_do_not_fit(bench, kind, reason):
    path = damaged_checkpoint(kind, bench.folder / "weights.pt")
    sentence = bench.refused("--weights", path)
    assert reason in sentence and str(path) in sentence


def test_output_folders_that_cannot_be_written(bench):
    file = bench.folder / "file"
    file.write_text("no folder", encoding="utf-8")
    assert str(file) in bench.refused(output=file)
    assert "written" in bench.refused(output=file / "below" / "it")


def test_a_new_output_folder_is_not_left_behind(bench):
    far = write(volume(center=(900.0, 0.0, 0.0)), bench.folder / "far.nrrd")
    bench.refused(moving=far, output=bench.folder / "new" / "folder")
    assert not (bench.folder / "new").exists()


def bad_transform(kind: str, folder: Path) -> Path:
    path = folder / ("initial.nrrd" if "field" in kind else "initial.tfm")
    if kind == "garbage":
        path.write_text("#Insight Transform File V1.0\nno transform\n", encoding="utf-8")
    elif kind == "2d":
        sitk.WriteTransform(sitk.Euler2DTransform(), str(path))
    elif kind == "flat":
        flat = sitk.AffineTransform(3)
        flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 0))
        sitk.WriteTransform(flat, str(path))
    elif kind == "scalar field":
        write(volume(), path)
    elif kind == "nan field":
        write(sitk.Compose([with_voxel(float("nan"))] * 3), path)
    return path


@pytest.mark.parametrize("kind", ["missing", "garbage", "2d", "flat", "scalar field", "nan field"])
def test_initial_transforms(bench, kind):
    path = bad_transform(kind, bench.folder)
    assert bench.refused("--initial-transform", path).startswith(f"The initial transform ({path})")


@pytest.mark.parametrize("role", ROLES)
def test_masks(bench, role):
    path = bench.folder / "mask.nrrd"
    option = f"--{role}-mask"
    assert bench.refused(option, path).startswith(f"The {role} mask ({path}) does not exist")
    write(sitk.Image(SIZE, sitk.sitkUInt8), path)
    assert f"{role} mask" in bench.refused(option, path)
    write(labels(center=(900.0, 0.0, 0.0)), path)
    assert "does not overlap" in bench.refused(option, path)
    corner = volume() * 0.0
    corner[0:2, 0:2, 0:2] = 1.0
    write(sitk.Cast(corner, sitk.sitkUInt8), path)
    assert "no anatomy" in bench.refused(option, path)


@pytest.mark.parametrize("role", ROLES)
def test_label_maps(bench, role):
    good = write(labels(), bench.folder / "good.nrrd")
    path = bench.folder / "labels.nrrd"
    other = ROLES[1 - ROLES.index(role)]
    options = (f"--{other}-labels", good, f"--{role}-labels", path)
    assert f"{other} label map is missing" in bench.refused(f"--{role}-labels", good)
    assert bench.refused(*options).startswith(f"The {role} label map ({path}) does not exist")
    for image, reason in (
        (labels()[:, :, 9], "2 dimensions"),
        (sitk.JoinSeries([labels()] * 3), "4 dimensions"),
        (sitk.Compose([labels()] * 3), "3 values per voxel"),
        (volume() / 7.0, "fractions"),
        (sitk.Image(SIZE, sitk.sitkUInt8), "empty"),
    ):
        write(image, path)
        assert reason in bench.refused(*options)


def test_label_maps_without_a_common_label(bench):
    paths = [write(labels() * factor, bench.folder / f"{factor}.nrrd") for factor in (1, 100)]
    sentence = bench.refused("--fixed-labels", paths[0], "--moving-labels", paths[1])
    assert "no label in common" in sentence


def test_a_mistake_at_the_console_shows_no_traceback(tmp_path):
    missing = tmp_path / "no.nrrd"
    command = [sys.executable, "-m", "SACBRegistrationLib.cli.main", "register", missing, missing]
    done = subprocess.run([*command, "-o", tmp_path / "out"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert f"The fixed image ({missing}) does not exist" in shown(done.stderr)
    assert not (tmp_path / "out").exists()


def test_arguments_that_the_command_does_not_know(bench, capfd):
    assert run(bench.files["fixed"], "-o", bench.output) == 2
    assert run(bench.files["fixed"], bench.files["moving"], "-o", bench.output, "--clusters", "many") == 2
    assert "Traceback" not in capfd.readouterr().err
    assert set(snapshot(bench.output)) == {"notes.txt", "transform.nrrd"}


@pytest.mark.parametrize("stage", ["alignment", "report"])
def test_ctrl_c_leaves_everything_as_it_was(bench, capfd, monkeypatch, stage):
    @contextmanager
    def interrupted_progress():
        yield lambda fraction, name: signal.raise_signal(signal.SIGINT) if name == stage else None

    monkeypatch.setattr(register_command, "progress_bar", interrupted_progress)
    before = snapshot(bench.folder)
    former = signal.getsignal(signal.SIGINT)
    assert run(bench.files["fixed"], bench.files["moving"], "-o", bench.output, *FAST) == 1
    assert signal.getsignal(signal.SIGINT) is former
    assert shown(capfd.readouterr().err) == "Cancelled; nothing was written."
    assert snapshot(bench.folder) == before


@pytest.mark.parametrize("new", [True, False])
def test_ctrl_c_while_writing_leaves_everything_as_it_was(bench, capfd, monkeypatch, new):
    monkeypatch.setattr(saving, "_draw", lambda *_: signal.raise_signal(signal.SIGINT))
    before = snapshot(bench.folder)
    output = bench.folder / "new" / "result" if new else bench.output
    assert run(bench.files["fixed"], bench.files["moving"], "-o", output, *FAST) == 1
    assert shown(capfd.readouterr().err) == "Cancelled; nothing was written."
    assert snapshot(bench.folder) == before
    assert not (bench.folder / "new").exists()


def test_what_the_user_cannot_mend_is_exit_code_1(bench, capfd, monkeypatch):
    def broken(*arguments, **choices):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("SACBRegistrationLib.registration.register", broken)
    before = snapshot(bench.folder)
    assert run(bench.files["fixed"], bench.files["moving"], "-o", bench.output, *FAST) == 1
    captured = capfd.readouterr().err
    assert "a mistake of ours" in captured and "Traceback" not in captured
    assert snapshot(bench.folder) == before
