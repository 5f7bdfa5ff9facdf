"""The comparison with other programs: run and scored alike, kept, and told when missing or failing."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from fake_programs import write_fake_programs
from oblique import blobs, oblique_grid, points_of

from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.comparison.methods import METHODS, chosen_methods
from SACBRegistrationLib.comparison.pairs import Pair, read_pairs
from SACBRegistrationLib.comparison.preparing import PeerInputs, peer_grid, peer_inputs, write_peer_images
from SACBRegistrationLib.comparison.scoring import mean_hd95
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.presets import load_preset

FIXED = oblique_grid()
MOVING = oblique_grid((34, 33, 30), (1.3, 1.5, 1.9), (15.0, -28.0, 46.0), (-7.0, 12.0, 5.0))
WAVE = 0.9
"""Waves per 2 pi mm; with an amplitude of 1.5 mm the field folds where cos < -1 / 1.35."""
AMPLITUDE = 1.5


def label_map(grid: Grid) -> sitk.Image:
    return sitk.Cast(blobs(grid), sitk.sitkUInt8)


def folding_field() -> tuple[sitk.Image, float]:
    """Returns a field on the fixed grid that folds along an oblique axis, and where in percent."""
    direction = FIXED.axes[:, 0]
    along = (points_of(FIXED) - FIXED.center) @ direction
    values = (AMPLITUDE * np.sin(WAVE * along))[..., None] * direction
    field = sitk.GetImageFromArray(values.transpose(2, 1, 0, 3), isVector=True)
    for name in ("Origin", "Spacing", "Direction"):
        getattr(field, f"Set{name}")(getattr(FIXED, name.lower()))
    # Central differences shorten the slope of a sine by the sinc of a step.
    step = WAVE * FIXED.spacing[0]
    slope = AMPLITUDE * np.cos(WAVE * along) * np.sin(step) / FIXED.spacing[0]
    return field, float(100 * np.mean(1 + slope[1:-1] <= 0))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with a pair, its list, fake programs on the path, and the field that the fake SyN finds."""
    images = {"fixed": FIXED, "moving": MOVING}
    for role, grid in images.items():
        sitk.WriteImage(blobs(grid), str(tmp_path / f"{role}.nii.gz"))
        sitk.WriteImage(label_map(grid), str(tmp_path / f"{role}_labels.nii.gz"))
    columns = "fixed,moving,fixed_labels,moving_labels,name"
    row = "fixed.nii.gz,moving.nii.gz,fixed_labels.nii.gz,moving_labels.nii.gz,"
    (tmp_path / "pairs.csv").write_text(f"{columns}\n{row}one\n{row}\n", encoding="utf-8")
    sitk.WriteImage(folding_field()[0], str(tmp_path / "field.nrrd"))
    programs = tmp_path / "programs"
    programs.mkdir()
    write_fake_programs(programs)
    monkeypatch.setenv("PYTHONPATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_FIELD", str(tmp_path / "field.nrrd"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log.txt"))
    monkeypatch.setitem(METHODS, "elastix", replace(METHODS["elastix"], imports="sacb_no_such_module"))
    return tmp_path


def compare(bench, *options: str) -> int:
    return main(["compare", str(bench / "pairs.csv"), "-o", str(bench / "out"), "--threads", "1", *options])


def only_first_pair(bench) -> None:
    file = bench / "pairs.csv"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:2]), encoding="utf-8")


def calls(bench) -> list[str]:
    return (bench / "log.txt").read_text(encoding="utf-8").splitlines()


def outcome_of(bench) -> dict:
    return json.loads((bench / "out" / "comparison.json").read_text(encoding="utf-8"))


def test_one_fails_one_is_absent_and_the_third_is_scored(bench, capsys):
    assert compare(bench, "--methods", "syn", "greedy", "elastix", "--hd95", "--own-labels") == 1
    outcome = outcome_of(bench)
    assert list(outcome["pairs"]) == ["one", "fixed from moving"]
    found = outcome["pairs"]["one"]
    assert set(found) == {"syn", "greedy"}
    assert found["greedy"]["failure"] == "It failed with RuntimeError: the images do not please me"
    assert calls(bench)[1].startswith("-i fixed moving -a -m NCC 4x4x4 -n 100x50x10")
    assert "-threads 1" in calls(bench)[1]
    shown = capsys.readouterr()
    assert 'pip install "itk-elastix==0.25.4"' in shown.out
    assert "one, greedy: It failed with RuntimeError" in shown.out
    assert "1/4  one  syn  Dice 0." in shown.err

    # Overlap and folding against SimpleITK's own warp and measure, and the analytic field.
    field, folding = folding_field()
    moving, fixed = label_map(MOVING), label_map(FIXED)
    transform = sitk.DisplacementFieldTransform(field)
    warped = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(fixed, warped)
    labels = [30, 60, 100]
    expected = [overlap.GetDiceCoefficient(label) for label in labels]
    assert found["syn"]["labels"] == 3 and 0.3 < min(expected) < 0.95
    assert found["syn"]["dice"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["syn"]["own_dice"] == 0
    assert found["syn"]["folding_percent"] == pytest.approx(folding, abs=1) and 10 < folding < 40
    assert found["syn"]["hd95"] == pytest.approx(mean_hd95(fixed, warped, labels))
    assert 0 < found["syn"]["seconds"] < found["syn"]["process_seconds"]
    assert found["syn"]["peak_memory_bytes"] > 2e7


def test_a_stopped_run_goes_on_and_failures_are_tried_again(bench, capsys):
    assert compare(bench, "--methods", "syn") == 0
    first = outcome_of(bench)
    assert calls(bench) == ["syn", "syn"]
    assert compare(bench, "--methods", "syn") == 2
    assert "--resume" in capsys.readouterr().err
    # Killed while writing.
    (bench / "out" / "runs" / "one" / "syn.json").write_text('{"inputs": ', encoding="utf-8")
    assert compare(bench, "--methods", "syn", "--resume") == 0
    assert calls(bench) == ["syn"] * 3
    second = outcome_of(bench)
    other = "fixed from moving"
    assert second["pairs"][other] == first["pairs"][other]
    only_first_pair(bench)
    for _ in range(2):
        assert compare(bench, "--methods", "syn", "greedy", "--resume") == 1
    assert [call.split()[0] for call in calls(bench)[3:]] == ["-i", "-i"]
    assert compare(bench, "--methods", "syn", "--resume", "--redo", "syn") == 0
    assert compare(bench, "--methods", "syn", "--resume", "--hd95") == 0
    assert compare(bench, "--methods", "syn", "--resume", "--hd95") == 0
    assert calls(bench)[5:] == ["syn", "syn"]
    # Another scan under the same name is another measurement.
    sitk.WriteImage(label_map(MOVING) * 2, str(bench / "moving_labels.nii.gz"))
    assert compare(bench, "--methods", "syn", "--resume") == 0
    assert calls(bench)[7:] == ["syn"]


def test_measurements_of_other_settings_are_not_mixed(bench, capsys):
    assert compare(bench, "--methods", "syn") == 0
    before = outcome_of(bench)
    assert compare(bench, "--methods", "syn", "--resume", "--threads", "2") == 2
    assert "made with threads 1, not 2" in capsys.readouterr().err
    assert outcome_of(bench) == before


def test_our_own_alignment_runs_in_a_process_of_its_own(bench):
    only_first_pair(bench)
    assert compare(bench, "--methods", "affine") == 0
    found = outcome_of(bench)["pairs"]["one"]["affine"]
    assert found["stages"]["alignment"] > 0 and found["folding_percent"] == 0
    assert found["dice"] > 0.8
    assert found["process_seconds"] > found["seconds"] + found["import_seconds"]


def test_nothing_to_run_is_one_sentence(bench, capsys):
    assert compare(bench, "--methods", "elastix") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (bench / "out").exists()
    assert compare(bench, "--methods", "elastics") == 2
    assert 'no method "elastics"' in capsys.readouterr().err
    assert compare(bench, "--methods", "syn", "--python", str(bench / "no-python")) == 2
    assert "--python" in capsys.readouterr().err
    assert not (bench / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "There is no file"),
        ("fixed,moving,fixed_labels\n", "has no column moving_labels"),
        ("fixed,moving,fixed_labels,moving_labels\n", "names no pairs"),
        ("fixed,moving,fixed_labels,moving_labels\na.nii,a.nii,a.nii\n", "names no moving_labels in line 2"),
        ("fixed,moving,fixed_labels,moving_labels\na.nii,a.nii,a.nii,b.nii\n", "b.nii, line 2"),
        (
            "name,fixed,moving,fixed_labels,moving_labels\nx,a.nii,a.nii,a.nii,a.nii\nx,a.nii,a.nii,a.nii,a.nii\n",
            'two pairs called "x"',
        ),
        (
            "name,fixed,moving,fixed_labels,moving_labels\nx,a.nii,a.nii,a.nii,a.nii\nX,a.nii,a.nii,a.nii,a.nii\n",
            'two pairs called "X"',
        ),
        (b"\xff\xfe\x00", "cannot be read as a CSV file"),
    ],
)
def test_a_list_of_pairs_that_cannot_be_used(tmp_path, text, sentence):
    (tmp_path / "a.nii").touch()
    path = tmp_path / "pairs.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=sentence):
        read_pairs(path)


def test_folders_of_pairs_suit_every_disk(tmp_path):
    names = ("con", "NUL.1", "a b", "..", "console")
    slugs = [Pair(name, tmp_path, tmp_path, tmp_path, tmp_path).slug for name in names]
    assert slugs == ["pair_con", "pair_NUL.1", "a_b", "pair", "console"]


def test_methods_are_named_loosely_and_ordered():
    assert [m.name for m in chosen_methods(["Greedy", "refine-only", "affine", "greedy"])] == [
        "affine", "refine only", "greedy",
    ]  # fmt: skip


def test_presets_decide_what_the_other_programs_get():
    assert peer_inputs(load_preset("ixi")) == PeerInputs(None, None)
    assert peer_inputs(load_preset("abdomen-ct")) == PeerInputs(2.0, (-1000.0, 1000.0))
    assert peer_inputs(load_preset("abdomen-ct"), 0, (-5, 5)) == PeerInputs(None, (-5, 5))
    with pytest.raises(UserError, match="negative"):
        peer_inputs(load_preset("ixi"), -1.0)
    with pytest.raises(UserError, match="empty"):
        peer_inputs(load_preset("ixi"), None, (3.0, 3.0))


def test_prepared_images_cover_the_same_volume(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    pair = read_pairs(bench / "pairs.csv")[0]
    files = write_peer_images(pair, PeerInputs(2.0, (10.0, 80.0)), folder)
    coarse = sitk.ReadImage(files["fixed"])
    assert coarse.GetSpacing() == pytest.approx((2.0, 2.0, 2.3), abs=1e-5)
    grid = peer_grid(FIXED, 2.0)
    index = grid.to_index(FIXED.corners())
    assert index.min() == pytest.approx(-0.5) and (index.max(axis=0) <= np.asarray(grid.size) - 0.5).all()
    assert sitk.GetArrayViewFromImage(coarse).min() == pytest.approx(10, abs=1e-3)
    # A ramp stays a ramp, in place.
    ramp = array_to_image((points_of(FIXED) @ np.array([0.3, 0.2, 0.1])).astype(np.float32), FIXED)
    sitk.WriteImage(ramp, str(bench / "fixed.nii.gz"))
    again = sitk.ReadImage(write_peer_images(pair, PeerInputs(2.0, None), folder)["fixed"])
    wanted = points_of(Grid.from_image(again)) @ np.array([0.3, 0.2, 0.1])
    inner = (slice(4, -4),) * 3
    found = sitk.GetArrayFromImage(again).transpose(2, 1, 0)
    assert np.abs(found - wanted)[inner].max() < 1e-3
    reference = sitk.ReadImage(write_peer_images(pair, PeerInputs(2.0, None), folder)["reference"])
    assert reference.GetSize() == FIXED.size
