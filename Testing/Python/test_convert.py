"""`convert-weights` through its own arguments: published weights in, described weights out."""

import argparse
import hashlib
import json
import os

import pytest
import torch
from golden import NAMES, load_golden

from SACBRegistrationLib import __version__
from SACBRegistrationLib.cli import convert_command
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.presets import load_preset


def convert(*words):
    parser = argparse.ArgumentParser()
    convert_command.add_arguments(parser)
    return convert_command.run(parser.parse_args([str(word) for word in words]))


def refusal(*words):
    with pytest.raises(UserError) as error:
        convert(*words)
    message = str(error.value)
    assert "\n" not in message and message.endswith(".")
    return message


@pytest.fixture
def golden():
    return load_golden(NAMES[0])


@pytest.fixture
def preset(golden, tmp_path):
    """A preset file whose grid is the one that the recorded weights were made on."""
    path = tmp_path / "small.json"
    window = {"kind": "window", "lower": 0, "upper": 1}
    values = {"name": "small", "modality": "mr", "size": list(golden.arrays["fixed"].shape), "spacing": 2.5}
    path.write_text(json.dumps({**values, "axes": "SAL", "normalization": window, "clusters": 5}))
    return path


def test_weights_stay_and_are_described(golden, preset, tmp_path, capsys):
    target = tmp_path / "out.pt"
    words = ("--training-data", "40 brains", "--licence", "CC-BY-4.0")
    assert convert(golden.weights, target, "--preset", preset, *words) == 0
    assert str(target) in capsys.readouterr().out
    found, source = load_checkpoint(target), load_checkpoint(golden.weights)
    state = source.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())
    assert set(found.clusters.values()) == {5} and found.feature_mean == source.feature_mean
    size = golden.arrays["fixed"].shape
    assert found.info == {
        "format": "sacb-registration",
        "preset": "small",
        "axes": "SAL",
        "spacing_mm": [2.5, 2.5],
        "extent_mm": [2.5 * side for side in size],
        "training_data": "40 brains",
        "licence": "CC-BY-4.0",
        "version": __version__,
        "source": golden.weights.name,
        "source_sha256": hashlib.sha256(golden.weights.read_bytes()).hexdigest(),
        "feature_mean": "spatial",
        "clusters": {5: 5, 4: 5, 3: 5, 2: 5},
        "sacb_levels": [5, 4, 3, 2],
        "matching_window": 3,
    }
    assert target.stat().st_size < 6_000_000
    with torch.no_grad():
        result = found(golden.image("moving"), golden.image("fixed"), golden.contexts())
    difference = (result.displacement[0] - golden.tensor("phi")).abs()
    assert float(difference.max()) <= 2e-2


def test_what_is_unknown_is_said(golden, preset, tmp_path):
    convert(golden.weights, tmp_path / "out.pt", "--preset", preset)
    info = load_checkpoint(tmp_path / "out.pt").info
    assert "not recorded" in info["training_data"] and "none stated" in info["licence"]


def test_a_bundled_preset(golden, tmp_path):
    content = torch.load(golden.weights, weights_only=True)
    grid = torch.zeros(1).expand(1, 3, *load_preset("lpba").size)
    content["state_dict"]["transformer.0.grid"] = grid
    source, target = tmp_path / "lpba.pth.tar", tmp_path / "lpba.pt"
    torch.save(content, source)
    convert(source, target, "--preset", "lpba")
    info = load_checkpoint(target).info
    assert info["extent_mm"] == [160.0, 192.0, 160.0] and info["axes"] == load_preset("lpba").axes
    assert "160x192x160 voxels and the preset ixi has 160x192x224" in refusal(
        source, tmp_path / "ixi.pt", "--preset", "ixi"
    )


def test_weights_that_do_not_tell_their_grid(golden, tmp_path):
    content = torch.load(golden.weights, weights_only=True)
    state = {key: value for key, value in content["state_dict"].items() if "transformer" not in key}
    torch.save({"state_dict": state}, tmp_path / "bare.pth.tar")
    assert convert(tmp_path / "bare.pth.tar", tmp_path / "out.pt", "--preset", "ixi") == 0


def test_an_existing_file_is_kept_unless_forced(golden, preset, tmp_path):
    target = tmp_path / "out.pt"
    target.write_text("precious")
    assert "exists" in refusal(golden.weights, target, "--preset", preset)
    assert target.read_text() == "precious"
    assert convert(golden.weights, target, "--preset", preset, "--force") == 0
    assert load_checkpoint(target).info["preset"] == "small"


def test_outputs_that_cannot_be_written(golden, preset, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(os.listdir(tmp_path))
    for target, words in (
        ("none/out.pt", "does not exist"),
        ("file/out.pt", "does not exist"),
        ("folder", "is a folder"),
    ):
        assert words in refusal(golden.weights, tmp_path / target, "--preset", preset)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(golden, preset, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be written" in refusal(golden.weights, tmp_path / "locked" / "out.pt", "--preset", preset)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can make files")
def test_a_folder_in_which_nobody_can_make_files(golden, preset):
    assert "cannot be written" in refusal(golden.weights, "/proc/out.pt", "--preset", preset)


def test_a_source_that_does_not_fit(golden, preset, tmp_path):
    converted = tmp_path / "ours.pt"
    convert(golden.weights, converted, "--preset", preset)
    before = sorted(os.listdir(tmp_path))
    (tmp_path / "text.pth.tar").write_text("no checkpoint")
    cases = (
        (converted, "already"),
        (tmp_path / "none.pth.tar", "does not exist"),
        (tmp_path / "text.pth.tar", "damaged or no torch file"),
    )
    for source, words in cases:
        assert words in refusal(source, tmp_path / "out.pt", "--preset", preset)
    assert "onto themselves" in refusal(converted, converted, "--preset", preset, "--force")
    assert "There is no preset" in refusal(golden.weights, tmp_path / "out.pt", "--preset", "liver")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "text.pth.tar"])
