"""The result folder: complete, readable by others, and written all or nothing."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from small_pairs import blob_pair, same_geometry, snapshot, write_preset, write_weights

from SACBRegistrationLib import UserError, register
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.registration import saving

CLUSTERS = {f"clusters/level{level}_{role}.nrrd" for level in (5, 4, 3, 2) for role in ("fixed", "moving")}
ALWAYS = {"transform.nrrd", "warped.nrrd", "report.json", "overview.png"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run with network and labels, and one without either."""
    folder = tmp_path_factory.mktemp("files")
    fixed, moving = blob_pair()
    labels = {
        "fixed_labels": sitk.Cast(fixed / 30.0, sitk.sitkUInt8),
        "moving_labels": sitk.Cast(moving / 30.0, sitk.sitkUInt8),
    }
    choices = {"preset": write_preset(folder, (32, 32, 32)), "alignment": "none", "device": "cpu"}
    return {
        "network": register(
            fixed, moving, weights=write_weights(folder), clusters=3, refine=2, **labels, **choices
        ),
        "refined": register(fixed, moving, weights="none", refine=4, **choices),
    }


def files_in(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def same_voxels(path, image: sitk.Image) -> bool:
    read = sitk.ReadImage(str(path))
    arrays = (sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    return read.GetPixelID() == image.GetPixelID() and same_geometry(read, image) and np.array_equal(*arrays)


def strict_json(path) -> dict:
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_every_file_is_there_and_holds_the_result(results, tmp_path):
    result, folder = results["network"], tmp_path / "new" / "Ergebnis 脳"
    listed = result.save(folder, inverse=True)
    assert files_in(folder) == ALWAYS | CLUSTERS | {"warped_labels.nrrd", "inverse.nrrd"}
    assert {path.relative_to(folder).as_posix() for path in listed} == files_in(folder)
    assert same_voxels(folder / "transform.nrrd", result.displacement_field)
    assert same_voxels(folder / "warped.nrrd", result.warped)
    assert same_voxels(folder / "warped_labels.nrrd", result.warped_labels)
    assert same_voxels(folder / "inverse.nrrd", result.inverse().displacement_field)
    for (level, role), image in result.cluster_maps.items():
        assert same_voxels(folder / "clusters" / f"level{level}_{role}.nrrd", image)
    overview = sitk.ReadImage(str(folder / "overview.png"))
    assert min(overview.GetSize()) > 300


def test_written_transform_maps_points_alike(results, tmp_path):
    result = results["network"]
    result.save(tmp_path)
    read = sitk.DisplacementFieldTransform(
        sitk.ReadImage(str(tmp_path / "transform.nrrd"), sitk.sitkVectorFloat64)
    )
    grid = Grid.from_image(result.fixed)
    index = np.random.default_rng(1).uniform(-0.5, np.asarray(grid.size) - 0.5, (300, 3))
    moved = 0.0
    for point in grid.to_lps(index).tolist():
        np.testing.assert_allclose(
            read.TransformPoint(point), result.transform.TransformPoint(point), atol=1e-6
        )
        moved = max(moved, float(np.linalg.norm(np.subtract(read.TransformPoint(point), point))))
    assert moved > 0.5


def test_report_says_everything(results, tmp_path):
    results["network"].save(tmp_path, inverse=True)
    report = strict_json(tmp_path / "report.json")
    assert report["settings"]["clusters"] == {"5": 3, "4": 3, "3": 3, "2": 3}
    assert report["settings"]["refine"] == 2 and report["settings"]["alignment"] == "none"
    assert {"SACBRegistration", "torch", "SimpleITK", "numpy", "python"} <= set(report["versions"])
    assert report["device"].startswith("CPU")
    stages = {"checking", "alignment", "network", "refinement", "transform", "report"}
    assert {*stages, "inverse", "picture", "writing", "total"} == set(report["seconds"])
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    parts = sum(seconds for name, seconds in report["seconds"].items() if name != "total")
    assert parts <= report["seconds"]["total"]
    if os.name == "posix":
        assert 50e6 < report["peak_memory_bytes"] < 100e9
    similarity = report["local_ncc"]
    assert all(0 <= similarity[name] <= 1 for name in ("before", "aligned", "after"))
    jacobian = report["jacobian"]
    assert 0 <= jacobian["folding_percent"] <= 100 and jacobian["minimum"] <= jacobian["maximum"]
    statistics = report["displacement_mm"]
    assert 0 < statistics["mean_mm"] <= statistics["p99_mm"] <= statistics["maximum_mm"]
    assert set(report["dice"]["per_label"]) == {"1", "2", "3"}
    for scores in report["dice"]["per_label"].values():
        assert 0 <= scores["before"] <= 1 and 0 <= scores["after"] <= 1
    assert 0 <= report["inverse"]["residual_mean_mm"] <= report["inverse"]["residual_p99_mm"]
    assert report["weights"]["feature_mean"] == "spatial"


def test_without_labels_or_network_the_report_says_so(results, tmp_path):
    results["refined"].save(tmp_path)
    report = strict_json(tmp_path / "report.json")
    assert report["dice"] is None and report["weights"] is None and report["inverse"] is None
    assert any("No network ran" in note for note in report["notes"])
    assert files_in(tmp_path) == ALWAYS


def test_numbers_that_json_lacks_become_null(results, tmp_path):
    odd = {**results["refined"].report, "odd": {"a": float("nan"), "b": [float("inf"), 1.0]}}
    replace(results["refined"], report=odd).save(tmp_path)
    assert strict_json(tmp_path / "report.json")["odd"] == {"a": None, "b": [None, 1.0]}


def test_an_older_result_is_replaced_as_a_whole(results, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    results["network"].save(tmp_path, inverse=True)
    results["refined"].save(tmp_path)
    assert files_in(tmp_path) == ALWAYS | {"notes.txt"}, "parts of the older result remain"
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert same_voxels(tmp_path / "transform.nrrd", results["refined"].displacement_field)
    assert {path.name for path in tmp_path.iterdir()} == ALWAYS | {"notes.txt"}
    results["network"].save(tmp_path)
    assert files_in(tmp_path) == ALWAYS | CLUSTERS | {"warped_labels.nrrd", "notes.txt"}


def test_a_target_that_is_no_folder(results, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    for target in (file, file / "below", file / "below" / "deeper"):
        with pytest.raises(UserError) as caught:
            results["refined"].save(target)
        assert str(target) in str(caught.value) and "\n" not in str(caught.value)
    assert snapshot(tmp_path) == {"file": b"mine"}


@pytest.fixture(scope="module")
def older(results, tmp_path_factory):
    """A folder with a result, to be copied: saving takes longer."""
    return results["refined"].save(tmp_path_factory.mktemp("older") / "older")[0].parent


def after_an_older_result(older, folder, attempt, error) -> None:
    """Checks that a failing attempt to save leaves an older result, or no folder, exactly as it was."""
    shutil.copytree(older, folder / "older")
    before = snapshot(folder)
    for target in (folder / "older", folder / "new" / "folder"):
        with pytest.raises(error):
            attempt(target)
        assert snapshot(folder) == before


@pytest.mark.parametrize("most_bytes", [1_000, 20_000, 100_000])
def test_a_disk_that_fills_up_leaves_everything_as_it_was(results, older, tmp_path, most_bytes):
    """A limit on the size of files stands for the full disk: the system refuses the write in the same way."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def attempt(target):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
        try:
            results["network"].save(target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    after_an_older_result(older, tmp_path, attempt, UserError)


def test_a_report_that_cannot_be_written_leaves_everything_as_it_was(results, older, tmp_path):
    broken = replace(results["network"], report={**results["network"].report, "odd": object()})
    after_an_older_result(older, tmp_path, broken.save, TypeError)


@pytest.mark.parametrize("survives", range(8))
def test_a_move_that_fails_leaves_everything_as_it_was(results, older, tmp_path, monkeypatch, survives):
    """Moving the parts into place fails after some of them, as when another program holds a file open."""
    move, moved = os.replace, []

    def attempt(target):
        def failing(source, destination):
            if len(moved) == survives:
                moved.append("failed")
                raise PermissionError(13, "held by another program", str(destination))
            moved.append(destination)
            move(source, destination)

        moved.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", failing)
            results["network"].save(target)

    # The picture takes longest, and fails in the other tests.
    monkeypatch.setattr(saving, "_draw", lambda result, path: path.write_bytes(b"picture"))
    shutil.copytree(older, tmp_path / "older")
    before = snapshot(tmp_path)
    with pytest.raises(UserError):
        attempt(tmp_path / "older")
    assert "failed" in moved
    assert snapshot(tmp_path) == before
