"""`sacb-registration train` as a user runs it: scans of every kind, kills, several processes, mistakes."""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import SimpleITK as sitk
import torch
from refusals import shown
from shared_data import REPOSITORY
from small_scans import QUICK_EXTENT, SPACING, arrays, write_csv, write_pickle, write_scans

from SACBRegistrationLib.cli import train_command
from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.cli.train_options import training_from
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.train import train

PARTS = {"a": "train", "b": "train", "c": "validation", "d": "validation"}
SMALL = ("--spacing", str(SPACING), "--extent", *map(str, QUICK_EXTENT), "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder)
    write_csv(folder / "split.csv", PARTS)
    write_csv(folder / "bare.csv", PARTS, labelled=False)
    write_csv(folder / "only.csv", {"a": "train", "b": "train"})
    preset = json.loads((REPOSITORY / "Resources" / "Presets" / "ixi.json").read_text(encoding="utf-8"))
    small = {"name": "small", "size": [16, 32, 32], "spacing": SPACING, "weights": None}
    (folder / "small.json").write_text(json.dumps({**preset, **small}), encoding="utf-8")
    for name, part in (("a", "Train"), ("b", "Train"), ("c", "Val"), ("d", "Val"), ("atlas", ".")):
        write_pickle(folder / "published" / part / f"{name}.pkl", arrays(name))
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def settings_of(*arguments):
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    return training_from(parser.parse_args([str(each) for each in arguments]))


def process(*arguments):
    command = [sys.executable, "-m", "SACBRegistrationLib.cli.main", "train", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_papers_settings_are_the_defaults(folder):
    for preset, weight in (("ixi", 3.0), ("lpba", 1.0), ("abdomen-ct", 0.3)):
        settings, _ = settings_of("--preset", preset, "--split", folder / "split.csv", "-o", "x", *SMALL)
        assert (settings.epochs, settings.steps, settings.minutes) == (300, None, None)
        assert (settings.learning_rate, settings.diffusion_weight, settings.dice_weight) == (1e-4, weight, 0)
        assert (settings.clusters, settings.devices.count) == (7, 1)


def test_published_pickles_train_and_the_checkpoint_registers(folder, tmp_path, capsys):
    output = tmp_path / "out"
    preset = ["--preset", str(folder / "small.json")]
    data = ["--data", str(folder / "published"), "--device", "cpu", "--threads", "1"]
    assert main(["train", *preset, *data, "-o", str(output), "--epochs", "1"]) == 0
    assert f"The weights lie in {output / 'weights.pt'}" in capsys.readouterr().out
    # An epoch of two pairs (atlas to subject), with a validation at its end.
    assert [row["step"] for row in rows(output / "metrics.csv")] == ["1", "2"]
    assert [row["step"] for row in rows(output / "validation.csv")] == ["2"]
    info = load_checkpoint(output / "weights.pt").info
    assert info["preset"] == "small" and info["spacing_mm"] == [SPACING, SPACING]
    # The labels lay in the same place as the images, and two heads are no one head.
    assert 0.2 < float(rows(output / "validation.csv")[0]["dice_before"]) < 0.95
    pair = [str(folder / f"{name}.nii.gz") for name in ("c", "d")]
    result = tmp_path / "result"
    options = [
        "--weights",
        str(output / "weights.pt"),
        "--refine",
        "0",
        "--alignment",
        "none",
        "--device",
        "cpu",
    ]
    assert main(["register", *pair, "-o", str(result), *preset, *options]) == 0
    field = sitk.ReadImage(str(result / "transform.nrrd"))
    assert field.GetNumberOfComponentsPerPixel() == 3
    report = json.loads((result / "report.json").read_text(encoding="utf-8"))
    assert report["settings"]["weights"].endswith("weights.pt")
    assert report["network_grid"]["spacing_mm"] == [SPACING] * 3


def test_a_killed_run_goes_on_from_its_state(folder, tmp_path):
    # Enough steps that none of the runs gets to the end; the learning rate depends on it.
    options = ("--split", folder / "split.csv", *SMALL, "--steps", 5000, "--validate-every", 2, "--seed", 3)
    killed = process(*options, "-o", tmp_path / "killed")
    table = tmp_path / "killed" / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (table.is_file() and len(rows(table)) >= 4):
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    killed.communicate()
    saved = torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["progress"]["step"]
    assert saved >= 2

    def until(step, **changes):
        settings, data = settings_of(*options, "-o", "unused")
        stop = argparse.Namespace(is_set=lambda: reached[0] >= step)
        reached = [0]

        def report(fraction, stage):
            reached[0] = int(stage.split()[-1])

        return train(replace(settings, **changes), data, Progress(callback=report, cancel=stop))

    last = max(saved, len(rows(table))) + 1
    until(last, output=tmp_path / "killed", resume=True)
    until(last, output=tmp_path / "straight")
    ours, theirs = (rows(tmp_path / name / "metrics.csv") for name in ("killed", "straight"))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    losses = [[float(row["loss"]) for row in each] for each in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_two_processes_share_the_pairs_and_their_gradients(folder, tmp_path):
    options = ("--split", folder / "split.csv", *SMALL, "--learning-rate", 0, "--validate-every", 100)
    alone, data = settings_of(*options, "--steps", 4, "-o", tmp_path / "alone")
    train(alone, data)
    both = process(*options, "--steps", 2, "--devices", 2, "-o", tmp_path / "both")
    text = both.communicate(timeout=200)[0]
    assert both.returncode == 0, text
    assert text.count("The weights lie in") == 1
    progress = torch.load(tmp_path / "both" / "state.pt", weights_only=True)["progress"]
    assert (progress["step"], progress["samples"]) == (2, 4)
    single = [float(row["loss"]) for row in rows(tmp_path / "alone" / "metrics.csv")]
    shared = [float(row["loss"]) for row in rows(tmp_path / "both" / "metrics.csv")]
    assert shared == pytest.approx([(single[0] + single[1]) / 2, (single[2] + single[3]) / 2], abs=1e-4)
    scores = [rows(tmp_path / name / "validation.csv")[-1]["dice_after"] for name in ("alone", "both")]
    assert float(scores[0]) == pytest.approx(float(scores[1]), abs=1e-3)
    # The network itself was not moved by a rate of 0, so that Adam's moments tell the gradients.
    moments = [
        torch.load(tmp_path / name / "state.pt", weights_only=True)["optimizer"]["state"][0]["exp_avg"]
        for name in ("alone", "both")
    ]
    assert all(float(each.abs().max()) > 0 for each in moments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either scans .* or label maps"),
        (["--split", "{}/split.csv", "--label-maps", "{}"], "either scans .* or label maps"),
        (["--split", "{}/none.csv"], "cannot be read"),
        (["--split", "{}/bare.csv"], "has no labels, which Dice needs"),
        (["--split", "{}/only.csv"], "no validation scan"),
        (["--split", "{}/split.csv", "--spacing", "2", "3"], "at one voxel size"),
        (["--split", "{}/split.csv", "--devices", "many"], 'The number of devices "many" is none'),
        (["--split", "{}/split.csv", "--precision", "bfloat16"], "needs a GPU"),
        (["--split", "{}/split.csv", "--sacb-levels", "none", "5"], "none and others at once"),
        (["--split", "{}/split.csv", "--steps", "0"], "must be above 0"),
        (["--split", "{}/split.csv", "--from", "{}/none.pt"], "does not exist"),
        (["--data", "{}/missing"], "does not exist"),
        (["--label-maps", "{}", "--validation", "_99"], "no label map '_99'"),
    ],
)
def test_mistakes_get_one_sentence_and_leave_nothing(folder, tmp_path, capsys, arguments, message):
    output = tmp_path / "out"
    given = [each.format(folder) for each in arguments]
    if "--spacing" not in given:
        given += SMALL
    assert main(["train", *given, "-o", str(output)]) == 2
    captured = capsys.readouterr()
    sentence = shown(captured.err)
    assert captured.out == "" and sentence.count("\n") == 0
    assert __import__("re").search(message, sentence), sentence
    assert not output.exists()


def test_a_hostile_pickle_does_not_run(folder, tmp_path, capsys):
    class Touch:
        def __reduce__(self):
            return (open, (str(tmp_path / "mark"), "w"))

    for name in ("a", "b"):
        write_pickle(tmp_path / "Train" / f"{name}.pkl", (arrays(name)[0], Touch()))
    arguments = ["--data", str(tmp_path), "--no-validation", "-o", str(tmp_path / "out"), *SMALL]
    assert main(["train", *arguments]) == 2
    assert "so it is not opened" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists() and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    arguments = ["--split", str(folder / "split.csv"), "-o", str(tmp_path / "file" / "out"), *SMALL]
    assert main(["train", *arguments]) == 2
    assert "cannot be written; choose another" in capsys.readouterr().err


def test_missing_packages_are_named_with_the_way_to_get_them(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    arguments = ["--split", str(folder / "split.csv"), "-o", str(tmp_path / "out"), *SMALL]
    assert main(["train", *arguments]) == 2
    assert "get them with: pip install lightning-fabric tensorboard." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
