"""Presets: the bundled ones are what the papers used, and a wrong file is refused in one sentence."""

import json
from pathlib import Path

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.normalization import Normalization
from SACBRegistrationLib.presets import list_presets, load_preset

VALID = {
    "name": "mine",
    "modality": "mr",
    "size": [64, 80, 96],
    "spacing": 1.5,
    "axes": "RAS",
    "normalization": {"kind": "percentile", "lower": 1, "upper": 99},
}


def write(folder: Path, changes: dict | None = None, drop: str | None = None) -> Path:
    document = {**VALID, **(changes or {})}
    document.pop(drop, None)
    path = folder / "mine.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def complaint(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        load_preset(path)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 600
    return message


def test_bundled_presets_are_listed():
    assert [preset.name for preset in list_presets()] == ["abdomen-ct", "ixi", "lpba"]
    for preset in list_presets():
        assert preset == load_preset(preset.name)
        assert preset.clusters == 7 and preset.alignment == "affine"
        assert preset.title and preset.description


@pytest.mark.parametrize(
    ("name", "size", "spacing", "axes", "weight", "structures"),
    [
        ("ixi", (160, 192, 224), 1.0, "LIA", 3.0, 30),
        ("lpba", (160, 192, 160), 1.0, "SAL", 1.0, 54),
        ("abdomen-ct", (192, 160, 224), 2.0, "LAS", 0.3, 13),
    ],
)
def test_bundled_presets_hold_the_papers_values(name, size, spacing, axes, weight, structures):
    preset = load_preset(name)
    assert (preset.size, preset.spacing, preset.axes) == (size, spacing, axes)
    assert preset.training_lambda == weight
    assert len(preset.labels) == structures == len(set(preset.labels.values()))


def test_intensities():
    assert load_preset("ixi").normalization == Normalization("percentile", 0.1, 99.9)
    assert load_preset("lpba").normalization == Normalization("percentile", 0.1, 99.9)
    assert load_preset("abdomen-ct").normalization == Normalization("window", -1000.0, 1000.0)


def test_label_values_are_those_of_the_data_sets():
    ixi, lpba, abdomen = (load_preset(name).labels for name in ("ixi", "lpba", "abdomen-ct"))
    assert (ixi[10], ixi[53], ixi[16]) == ("Left thalamus", "Right hippocampus", "Brain stem")
    assert (lpba[21], lpba[102], lpba[166]) == (
        "Left superior frontal gyrus",
        "Right insular cortex",
        "Right hippocampus",
    )
    assert 181 not in lpba and 182 not in lpba
    # LPBA40 and FreeSurfer name both sides of every paired structure.
    for table in (ixi, lpba):
        lefts = {name[5:] for name in table.values() if name.startswith("Left ")}
        assert lefts == {name[6:] for name in table.values() if name.startswith("Right ")}
    assert (abdomen[1], abdomen[6], abdomen[13]) == ("Spleen", "Liver", "Left adrenal gland")


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_axes_are_understood_by_the_grid(preset):
    grid = Grid((4, 5, 6), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    assert grid.reoriented(preset.axes).axis_codes == preset.axes


def test_own_file_takes_defaults_for_what_it_leaves_out(tmp_path):
    preset = load_preset(write(tmp_path))
    assert (preset.title, preset.clusters, preset.alignment, preset.weights) == ("mine", 7, "affine", None)
    assert preset.weights_path is None and preset.labels == {} and preset.refine_steps == 30
    assert load_preset(str(tmp_path / "mine.json")) == preset


def test_weights_beside_an_own_file_are_found(tmp_path):
    (tmp_path / "mine.pt").touch()
    assert (
        load_preset(write(tmp_path, {"weights": "mine.pt"})).weights_path == (tmp_path / "mine.pt").resolve()
    )
    bundled = load_preset(write(tmp_path, {"weights": "brain.pt"})).weights_path
    assert bundled.parts[-3:] == ("Resources", "Weights", "brain.pt")


def test_unknown_name_lists_the_known_ones():
    message = complaint("brain")
    assert '"brain"' in message and "ixi, lpba" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"clutsers": 7}, '"clutsers"'),
        ({"name": "My preset"}, '"name"'),
        ({"modality": "us"}, '"modality"'),
        ({"modality": ["mr"]}, '"modality"'),
        ({"size": [64, 80, 90]}, '"size"'),
        ({"size": [64, 80]}, '"size"'),
        ({"size": [64.0, 80, 96]}, '"size"'),
        ({"size": [True, 80, 96]}, '"size"'),
        ({"size": [0, 80, 96]}, '"size"'),
        ({"size": 64}, '"size"'),
        ({"spacing": 0}, '"spacing"'),
        ({"spacing": "1 mm"}, '"spacing"'),
        ({"spacing": True}, '"spacing"'),
        ({"axes": "LIL"}, '"axes"'),
        ({"axes": "lia"}, '"axes"'),
        ({"axes": "LIAX"}, '"axes"'),
        ({"normalization": None}, '"normalization"'),
        ({"normalization": {"kind": "z-score", "lower": 0, "upper": 1}}, '"normalization"'),
        ({"normalization": {"kind": ["window"], "lower": 0, "upper": 1}}, '"normalization"'),
        ({"normalization": {"kind": "window", "lower": 1, "upper": 1}}, '"normalization"'),
        ({"normalization": {"kind": "percentile", "lower": 0, "upper": 101}}, '"normalization"'),
        ({"normalization": {"kind": "window", "lower": 0, "upper": 1, "mean": 2}}, '"normalization"'),
        ({"clusters": 1}, '"clusters"'),
        ({"clusters": 33}, '"clusters"'),
        ({"clusters": 7.5}, '"clusters"'),
        ({"alignment": "deformable"}, '"alignment"'),
        ({"weights": 3}, '"weights"'),
        ({"refine_steps": 0}, '"refine_steps"'),
        ({"refine_network": 1}, '"refine_network"'),
        ({"training_lambda": 0}, '"training_lambda"'),
        ({"training_lambda": -1}, '"training_lambda"'),
        ({"labels": ["cortex"]}, '"labels"'),
        ({"labels": {"0": "background"}}, '"labels"'),
        ({"labels": {"left": "cortex"}}, '"labels"'),
        ({"labels": {"3": 3}}, '"labels"'),
        ({"title": 3}, '"title"'),
    ],
)
def test_wrong_values_name_file_and_key(tmp_path, changes, named):
    message = complaint(write(tmp_path, changes))
    assert named in message and "mine.json" in message


@pytest.mark.parametrize("key", sorted(VALID))
def test_missing_keys_are_named(tmp_path, key):
    assert f'"{key}"' in complaint(write(tmp_path, drop=key))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1, 2]", "one JSON object"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'{"name": "a", "name": "b"}', "twice"),
        (b'{"spacing": NaN}', "NaN"),
        (b'{"spacing": ' + b"[" * 100_000 + b"}", "not valid JSON"),
        (b" " * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_broken_files_are_refused(tmp_path, content, expected):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    message = complaint(path)
    assert expected in message and "broken.json" in message


def test_overflowing_number_is_refused(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(VALID).replace("1.5", "1e999"), encoding="utf-8")
    assert '"spacing"' in complaint(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    assert "cannot be read" in complaint(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    assert "cannot be read" in complaint(tmp_path / "folder.json")
