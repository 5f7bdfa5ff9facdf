"""The demo as a user runs it: the true error falls, and everything is where it says."""

import json
import re

import pytest
import SimpleITK as sitk

from SACBRegistrationLib.cli.main import main


def test_the_demo_comes_close_to_the_truth(tmp_path, capfd):
    folder = tmp_path / "a folder with späces" / "demo"
    assert main(["demo", "-o", str(folder), "--refine", "12", "--inverse"]) == 0
    printed = capfd.readouterr().out
    before, aligned, registered = (
        float(value) for value in re.search(
            r"True error ([\d.]+) mm before, ([\d.]+) mm aligned, ([\d.]+) mm registered", printed
        ).groups()
    )  # fmt: skip
    assert before > 5
    assert registered < 1.0 < aligned
    assert str(folder / "overview.png") in printed
    report = json.loads((folder / "report.json").read_text())
    assert report["jacobian"]["folding_percent"] < 0.1
    assert report["dice"]["mean_after"] > report["dice"]["mean_aligned"] + 0.1
    assert report["inverse"]["residual_p99_mm"] < 0.1
    clusters = sorted(path.name for path in (folder / "clusters").iterdir())
    assert clusters == [f"level{level}_{role}.nrrd" for level in (2, 3, 4, 5) for role in ("fixed", "moving")]
    assert (
        sitk.ReadImage(str(folder / "warped.nrrd")).GetSize()
        == sitk.ReadImage(str(tmp_path / "a folder with späces" / "phantom" / "fixed.nrrd")).GetSize()
    )


def test_one_image_is_not_a_pair(tmp_path, capsys):
    assert main(["demo", "fixed.nii.gz", "-o", str(tmp_path / "demo")]) == 2
    assert "One image is missing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["register", "demo", "presets", "train", "convert-weights"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_presets_are_listed(capsys):
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("ixi", "lpba", "abdomen-ct"))
    assert main(["presets", "ixi"]) == 0
    assert "hippocampus" in capsys.readouterr().out
