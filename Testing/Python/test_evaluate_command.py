"""`sacb-registration evaluate` on small pairs: what it measures, keeps, resumes and refuses."""

import csv
import importlib.util
import json
import re
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid
from refusals import shown
from small_pairs import blob_pair, snapshot, write_preset
from structure_fixtures import brute_force

from SACBRegistrationLib.cli import evaluate_command
from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.evaluation import structural_similarity
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import folding_percent
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.study.measuring import measure_pair
from SACBRegistrationLib.study.pair_list import read_pair_list
from SACBRegistrationLib.study.run import without_paths
from SACBRegistrationLib.study.settings import StudySettings

SSIM = importlib.util.find_spec("skimage") is not None
ROLES = ("fixed", "moving", "fixed_labels", "moving_labels")
HEADER = ",".join(ROLES) + ",name,transform\n"
OUTPUTS = {"pairs.csv", "structures.csv", "summary.json", "table.md", "boxplot.png", "worst.png"}


def write_pair(folder):
    """Three structures on two oblique grids, 5 mm apart, and a displacement field on a third grid."""
    fixed, moving = blob_pair()
    for role, image in (("fixed", fixed), ("moving", moving)):
        sitk.WriteImage(image, str(folder / f"{role}.nrrd"))
        sitk.WriteImage(sitk.Cast(image / 30.0, sitk.sitkUInt8), str(folder / f"{role}_labels.nrrd"))
    grid = oblique_grid(
        (9, 8, 7), (11.0, 12.0, 13.0), tuple(Grid.from_image(fixed).center), (8.0, -6.0, 12.0)
    )
    values = np.random.default_rng(2).normal(scale=4.0, size=(*grid.size[::-1], 3))
    field = sitk.GetImageFromArray(values, isVector=True)
    field.SetOrigin(grid.origin)
    field.SetSpacing(grid.spacing)
    field.SetDirection(grid.direction)
    sitk.WriteImage(field, str(folder / "field.nrrd"))


def evaluate(*arguments) -> int:
    try:
        return main(["evaluate", *map(str, arguments)])
    except SystemExit as exit_:  # argparse ends the program by itself
        return exit_.code


def options(folder) -> list:
    extra = [] if SSIM else ["--no-ssim"]
    return [
        "--preset",
        folder / "small.json",
        "--weights",
        "none",
        "--refine",
        "2",
        "--device",
        "cpu",
        *extra,
    ]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run over three pairs: registered, without common labels, and with a transform."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_pair(folder)
    write_preset(folder)
    other = sitk.ReadImage(str(folder / "moving_labels.nrrd"))
    sitk.WriteImage(sitk.Cast(other, sitk.sitkInt32) * 1000, str(folder / "other.nrrd"))
    (folder / "pairs.csv").write_text(
        HEADER + "fixed.nrrd,moving.nrrd,fixed_labels.nrrd,moving_labels.nrrd,first one,\n"
        "fixed.nrrd,moving.nrrd,fixed_labels.nrrd,other.nrrd,broken,\n"
        "fixed.nrrd,moving.nrrd,fixed_labels.nrrd,moving_labels.nrrd,given,field.nrrd\n",
        encoding="utf-8",
    )
    assert evaluate(folder / "pairs.csv", "-o", folder / "out", *options(folder)) == 1
    return folder


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_writes_everything_and_the_broken_pair_stops_nothing(ran):
    out = ran / "out"
    assert {path.name for path in out.iterdir()} == OUTPUTS | {"pairs"}
    registered, broken, given = rows_of(out / "pairs.csv")
    assert [row["name"] for row in (registered, broken, given)] == ["first one", "broken", "given"]
    assert broken["error"].startswith("The fixed and the moving label map have no label in common")
    assert float(registered["dice_before"]) < float(registered["dice_aligned"]) < 1
    assert float(registered["dice_after"]) > 0.4 and float(registered["seconds"]) > 0
    assert 100 < float(registered["peak_memory_mb"]) < 20_000
    assert given["dice_aligned"] == given["seconds"] == ""
    assert (registered["ssim_after"] != "") == SSIM
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["pairs"] == {"measured": 2, "failed": 1}
    dice = [float(row["dice_after"]) for row in (registered, given)]
    found = summary["mean_and_sd"]["dice_after"]
    assert found["mean"] == pytest.approx(np.mean(dice), abs=1e-5)
    assert found["sd"] == pytest.approx(np.std(dice, ddof=1), abs=1e-5)
    assert summary["worst"]["name"] == ("given" if dice[1] < dice[0] else "first one")
    assert summary["settings"]["registration"]["refine"] == 2
    assert {"SACBRegistration", "torch", "SimpleITK"} <= set(summary["machine"]["versions"])
    structures = rows_of(out / "structures.csv")
    scores = [float(row["dice_after"]) for row in structures if row["name"] == "given"]
    assert np.mean(scores) == pytest.approx(dice[1], abs=1e-5)
    table = (out / "table.md").read_text(encoding="utf-8")
    assert "2 of 3 pairs" in table and "| Refinement |" in table and "paper" not in table


def test_pictures_can_be_seen(ran):
    worst, boxes = (sitk.ReadImage(str(ran / "out" / name)) for name in ("worst.png", "boxplot.png"))
    for picture in (worst, boxes):
        assert min(picture.GetSize()) > 250
        assert len(np.unique(sitk.GetArrayViewFromImage(picture)[..., 0])) > 50


def test_nothing_tells_where_the_files_were(ran):
    for path in (ran / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(ran).encode() not in content and b"moving.nrrd" not in content, path


def test_a_recorded_error_names_no_file(ran):
    pair = read_pair_list(ran / "pairs.csv")[0]
    with pytest.raises(UserError) as caught:
        read_volume(ran / "pairs.csv", "fixed")
    sentence = str(caught.value).replace(str(ran / "pairs.csv"), str(ran / "fixed.nrrd"))
    assert without_paths(sentence, pair) == sentence.replace(f" ({ran / 'fixed.nrrd'})", "") != sentence
    assert without_paths(f"{ran / 'fixed_labels.nrrd'} is odd.", pair) == "fixed labels is odd."


def test_a_finished_transform_is_measured_as_simpleitk_and_brute_force_do(ran):
    structures = [row for row in rows_of(ran / "out" / "structures.csv") if row["name"] == "given"]
    fixed, moving = (sitk.ReadImage(str(ran / f"{role}_labels.nrrd")) for role in ("fixed", "moving"))
    field = sitk.ReadImage(str(ran / "field.nrrd"), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(sitk.Image(field))
    for state, used in (("before", sitk.Transform(3, sitk.sitkIdentity)), ("after", transform)):
        warped = sitk.Resample(moving, fixed, used, sitk.sitkNearestNeighbor)
        for row in structures:
            a, b = fixed == int(row["label"]), warped == int(row["label"])
            overlap = sitk.LabelOverlapMeasuresImageFilter()
            overlap.Execute(a, b)
            assert float(row[f"dice_{state}"]) == pytest.approx(overlap.GetDiceCoefficient(1), abs=1e-5)
            if sitk.GetArrayViewFromImage(b).any():
                _, hd95, assd = brute_force(a, b)
                assert float(row[f"hd95_{state}"]) == pytest.approx(hd95, rel=1e-4, abs=1e-4)
                assert float(row[f"assd_{state}"]) == pytest.approx(assd, rel=1e-4, abs=1e-4)
    assert [row["label"] for row in structures] == ["1", "2", "3"]


def test_resuming_measures_only_what_is_missing_or_changed(ran, capfd):
    out, kept = ran / "out", {}
    for path in (out / "pairs").glob("*.json"):
        kept[json.loads(path.read_text(encoding="utf-8"))["name"]] = path
    before = {name: path.stat().st_mtime_ns for name, path in kept.items()}
    listed = (ran / "pairs.csv").read_text(encoding="utf-8")
    mended = ran / "mended.csv"
    mended.write_text(listed.replace("other.nrrd,broken,", "moving_labels.nrrd,broken,field.nrrd"), "utf-8")
    assert evaluate(mended, "-o", out, "--resume", *options(ran)) == 0
    said = capfd.readouterr()
    assert "2 of 3 pairs were done before" in said.out and "1 of 3" not in said.err and "2 of 3" in said.err
    after = {name: path.stat().st_mtime_ns for name, path in kept.items()}
    assert {name for name in before if before[name] != after[name]} == {"broken"}
    rows = rows_of(out / "pairs.csv")
    assert rows[1]["dice_after"] == rows[2]["dice_after"] != "" and rows[1]["error"] == ""


def test_a_folder_with_results_is_not_overwritten_by_chance(ran, capfd):
    before = snapshot(ran / "out")
    assert evaluate(ran / "pairs.csv", "-o", ran / "out", *options(ran)) == 2
    assert "give --resume" in shown(capfd.readouterr().err)
    assert snapshot(ran / "out") == before


@pytest.mark.parametrize("resumed", [True, False])
def test_ctrl_c_keeps_finished_pairs(ran, tmp_path, capfd, monkeypatch, resumed):
    """With a pair that is done the tables are written for it; before any, the disk stays as it was."""
    rows = (ran / "pairs.csv").read_text(encoding="utf-8").splitlines()
    again = ran / "again.csv"
    again.write_text("\n".join([rows[0], rows[1], rows[3].replace("given", "again")]) + "\n", "utf-8")
    out = tmp_path / "new" / "out"
    if resumed:
        (out / "pairs").mkdir(parents=True)
        kept = next((ran / "out" / "pairs").glob("first*.json"))
        (out / "pairs" / kept.name).write_bytes(kept.read_bytes())

    @contextmanager
    def interrupted_progress():
        yield lambda fraction, stage: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(evaluate_command, "progress_bar", interrupted_progress)
    former = signal.getsignal(signal.SIGINT)
    extra = ["--resume"] if resumed else []
    assert evaluate(again, "-o", out, *extra, *options(ran)) == 1
    assert signal.getsignal(signal.SIGINT) is former
    said = shown(capfd.readouterr().err)
    if resumed:
        assert "Cancelled; 1 of 2 pairs are kept" in said
        assert [row["name"] for row in rows_of(out / "pairs.csv")] == ["first one"]
    else:
        assert said == "Cancelled; nothing was written." and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--preset", "knee"], 'no preset "knee"'),
        (["--clusters", "1"], "from 2 to 32, not 1"),
        (["--weights", "missing.pt"], "missing.pt"),
        (["--labels", "spine"], '"spine" is no number'),
        (["--published", "oasis"], 'no table "oasis"'),
        (["--device", "tpu"], '"tpu" is unknown'),
    ],
)
def test_choices_that_cannot_be_used_are_refused_at_once(ran, tmp_path, capfd, arguments, reason):
    out = tmp_path / "out"
    assert evaluate(ran / "pairs.csv", "-o", out, *options(ran), *arguments) == 2
    said = shown(capfd.readouterr().err)
    assert reason in said and re.fullmatch(r"[A-Z].*\.", said)
    assert not out.exists()


def test_a_mistake_in_the_list_is_refused_at_once(ran, tmp_path, capfd):
    bad = ran / "bad.csv"
    bad.write_text(HEADER + "fixed.nrrd,nothing.nrrd,fixed_labels.nrrd,moving_labels.nrrd,x,\n", "utf-8")
    assert evaluate(bad, "-o", tmp_path / "out", *options(ran)) == 2
    said = shown(capfd.readouterr().err)
    assert said.startswith(f"Line 2 of {bad}: the moving image") and not (tmp_path / "out").exists()


def test_missing_scikit_image_is_said_at_once(ran, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(structural_similarity.importlib.util, "find_spec", lambda name: None)
    arguments = [item for item in options(ran) if item != "--no-ssim"]
    assert evaluate(ran / "pairs.csv", "-o", tmp_path / "out", *arguments) == 2
    assert "--no-ssim" in shown(capfd.readouterr().err) and not (tmp_path / "out").exists()


def test_folding_is_that_of_the_transform_and_chosen_labels_are_scored(tmp_path):
    grid = oblique_grid((30, 26, 22), (1.9, 2.3, 2.7))
    image = blobs(grid)
    labels = sitk.Cast(image / 30.0, sitk.sitkUInt8)
    field = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 1.5, (*grid.size[::-1], 3)), True)
    field.CopyInformation(image)
    for name, made in (("fixed", image), ("fixed_labels", labels), ("field", field)):
        sitk.WriteImage(made, str(tmp_path / f"{name}.nrrd"))
    files = {
        "fixed": tmp_path / "fixed.nrrd", "moving": tmp_path / "fixed.nrrd",
        "fixed_labels": tmp_path / "fixed_labels.nrrd", "moving_labels": tmp_path / "fixed_labels.nrrd",
        "transform": tmp_path / "field.nrrd",
    }  # fmt: skip
    found = measure_pair(files, StudySettings(labels=(2, 99), ssim=False), Progress()).record
    assert list(found["structures"]) == ["2"] and found["unscored"] == [99]
    assert found["structures"]["2"]["dice"]["before"] == 1
    expected = folding_percent(sitk.Cast(field, sitk.sitkVectorFloat32), grid)
    assert found["jacobian"]["folding_percent"] == pytest.approx(expected, abs=1e-6) and expected > 1
    with pytest.raises(UserError, match="none of the chosen labels"):
        measure_pair(files, StudySettings(labels=(99,), ssim=False), Progress())
