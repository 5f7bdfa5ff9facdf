"""Recorded scans on the training grid: geometry, intensities, pairs, and the order of the pairs."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from oblique import blobs, oblique_grid
from small_scans import EXTENT, SPACING, TURNS, arrays, head, write_csv, write_pickle, write_scans

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.normalization import Normalization
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.training.pairs import ShuffledEpochs
from SACBRegistrationLib.training.prefetch import prefetched
from SACBRegistrationLib.training.recorded import RecordedSettings, recorded_data
from SACBRegistrationLib.training.split import Split, Subject, read_split
from SACBRegistrationLib.training.validation import pair_dice
from SACBRegistrationLib.training.volumes import VolumeReader

SETTINGS = RecordedSettings(spacing=SPACING, extent=EXTENT)
PARTS = {"a": "train", "b": "train", "c": "validation", "d": "validation"}


@pytest.fixture(scope="module")
def preset():
    return load_preset("ixi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder)
    return folder


def test_a_scan_lands_where_simpleitk_puts_it(preset, tmp_path):
    # Oblique, anisotropic and flipped; values in [0, 1], which are taken as they are.
    grids = [oblique_grid((30, 26, 34), (3.1, 4.3, 2.7)), oblique_grid((28, 30, 24), (2.9, 3.3, 4.1))]
    paths = []
    for i, grid in enumerate(grids):
        values = sitk.RescaleIntensity(blobs(grid), 0.0, 1.0)
        paths.append((tmp_path / f"{i}.nii.gz", tmp_path / f"{i}_labels.nii.gz"))
        sitk.WriteImage(values, str(paths[i][0]))
        sitk.WriteImage(sitk.Cast(values * 5, sitk.sitkUInt8), str(paths[i][1]))
    subjects = [Subject(*each) for each in paths]
    reader = VolumeReader(preset, subjects[0], 2.0, (64.0, 96.0, 64.0))
    assert reader.grid.size == (32, 48, 32) and reader.grid.axis_codes == preset.axes
    volume = reader.read(subjects[1])
    target = sitk.Image(*reader.grid.size, sitk.sitkFloat32)
    target.SetOrigin(reader.grid.origin)
    target.SetSpacing(reader.grid.spacing)
    target.SetDirection(reader.grid.direction)
    image, labels = (sitk.ReadImage(str(path)) for path in paths[1])
    # Where the grid is finer than the scan nothing is smoothed; 2 mm is finer than every spacing here.
    expected = sitk.GetArrayFromImage(sitk.Resample(image, target)).transpose(2, 1, 0)
    assert np.abs(volume.image[0, 0].numpy() - expected).max() < 1e-5
    assert expected.max() > 0.5
    nearest = sitk.Resample(labels, target, sitk.Transform(), sitk.sitkNearestNeighbor)
    ours, theirs = volume.labels[0, 0].numpy(), sitk.GetArrayFromImage(nearest).transpose(2, 1, 0)
    assert (ours != theirs).mean() < 1e-3 and (theirs > 0).mean() > 0.01


def test_other_intensities_are_scaled_by_the_preset(preset, folder):
    reader = VolumeReader(preset, Subject(folder / "a.nii.gz"), SPACING, EXTENT)
    image = reader.read(Subject(folder / "b.nii.gz")).image
    assert image.min() == 0 and 0.8 < image.max() <= 1
    ct = replace(preset, normalization=Normalization("window", -1000.0, 1000.0))
    reader = VolumeReader(ct, Subject(folder / "a.nii.gz"), SPACING, EXTENT)
    # A background of 0 HU is the middle of the window, and outside the scan is air.
    values = reader.read(Subject(folder / "a.nii.gz")).image
    assert ((values - 0.5).abs() < 1e-3).float().mean() > 0.1 and (values == 0).float().mean() > 0.1
    assert 0.68 < values.max() < 0.75


def test_a_published_pickle_is_taken_as_it_is(preset, tmp_path):
    files = {name: write_pickle(tmp_path / f"{name}.pkl", arrays(name)) for name in ("a", "b")}
    own = replace(preset, size=(32, 32, 32), spacing=SPACING)
    reader = VolumeReader(own, Subject(files["a"]), SPACING, (256.0, 256.0, 256.0))
    volume = reader.read(Subject(files["b"]))
    image, labels = arrays("b")
    # Centred, and not moved against another pickle by its own anatomy.
    middle = volume.image[0, 0].numpy()
    boxes = [np.argwhere(v > 0.3) for v in (middle, image)]
    shift = boxes[0].min(axis=0) - boxes[1].min(axis=0)
    part = tuple(slice(s, s + n) for s, n in zip(shift, image.shape, strict=True))
    assert np.allclose(middle[part], image, atol=1e-6)
    assert np.array_equal(volume.labels[0, 0].numpy()[part], labels)
    first = reader.read(Subject(files["a"])).image[0, 0].numpy()
    assert np.allclose(first[part], arrays("a")[0], atol=1e-6)


def test_scans_that_lie_apart_are_aligned(preset, folder, tmp_path, monkeypatch):
    image, labels = head("b")
    shift = (40.0, -30.0, 25.0)
    for part, name in ((image, "far.nii.gz"), (labels, "far_labels.nii.gz")):
        part.SetOrigin([v + s for v, s in zip(part.GetOrigin(), shift, strict=True)])
        sitk.WriteImage(part, str(tmp_path / name))
    first = Subject(folder / "a.nii.gz", folder / "a_labels.nii.gz")
    far = Subject(tmp_path / "far.nii.gz", tmp_path / "far_labels.nii.gz")
    asked = []

    def found(fixed, moving, kind, **masks):
        # The search itself is tested elsewhere, and takes its time.
        asked.append((kind, fixed.GetOrigin(), moving.GetOrigin(), sorted(masks)))
        return argparse.Namespace(transform=sitk.TranslationTransform(3, shift))

    monkeypatch.setattr("SACBRegistrationLib.training.volumes.align", found)
    reader = VolumeReader(preset, first, SPACING, EXTENT, "rigid")
    near = Subject(folder / "b.nii.gz", folder / "b_labels.nii.gz")
    moved = reader.read(far)
    reader.read(first)
    (kind, fixed, moving, masks), *others = asked
    assert kind == "rigid" and masks == ["fixed_foreground", "moving_foreground"] and not others
    assert np.allclose(fixed, head("a")[0].GetOrigin(), atol=1e-4)
    assert np.allclose(moving, image.GetOrigin(), atol=1e-4)
    still = VolumeReader(preset, first, SPACING, EXTENT).read(near)
    assert torch.allclose(moved.image, still.image, atol=1e-4)
    assert torch.equal(moved.labels, still.labels)


def test_an_atlas_goes_to_every_subject_and_others_pair_in_both_directions(preset, folder):
    pairs = recorded_data(read_split(write_csv(folder / "all.csv", PARTS), None), preset, SETTINGS)
    assert pairs.training.epoch_length == 2 and len(pairs.validation) == 2
    forth, back = pairs.validation[0], pairs.validation[1]
    assert torch.equal(forth.moving, back.fixed) and not torch.equal(forth.moving, forth.fixed)
    parts = {"atlas": "atlas", "a": "train", "b": "train", "c": "val", "d": "test"}
    data = recorded_data(read_split(write_csv(folder / "atlas.csv", parts), None), preset, SETTINGS)
    assert (data.training.epoch_length, len(data.validation), len(data.test)) == (2, 1, 1)
    assert torch.equal(data.validation[0].moving, data.test[0].moving)
    assert torch.equal(data.training.pair(0).moving, data.training.pair(1).moving)
    assert data.grid.extent == (256.0, 256.0, 256.0) and data.grid.axes == "LIA"
    assert "2 pairs of 2 recorded scans (from an atlas)" in data.description


def test_structures_are_the_presets_where_the_scans_number_them_so(preset, folder):
    split = read_split(write_csv(folder / "s.csv", PARTS), None)
    found = recorded_data(split, replace(preset, labels={2: "x", 41: "y"}), SETTINGS)
    assert found.validation[0].structures == (2, 41)
    found = recorded_data(split, replace(preset, labels={2: "x", 2000: "y"}), SETTINGS)
    assert {2, 3, 17, 41, 53} <= set(found.validation[0].structures) and 0 not in found.validation[
        0
    ].structures
    chosen = recorded_data(split, preset, replace(SETTINGS, structures=(10, 49)))
    assert chosen.validation[0].structures == (10, 49)


def test_dice_agrees_with_simpleitk(preset, folder):
    split = read_split(write_csv(folder / "s.csv", PARTS), None)
    pair = recorded_data(split, preset, SETTINGS).validation[0]
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    first, second = (
        sitk.Cast(sitk.GetImageFromArray(each[0, 0].numpy()), sitk.sitkUInt16)
        for each in (pair.moving_labels, pair.fixed_labels)
    )
    overlap.Execute(first, second)
    present = [set(np.unique(sitk.GetArrayFromImage(image))) for image in (first, second)]
    wanted = [s for s in pair.structures if all(s in values for values in present)]
    expected = np.mean([overlap.GetDiceCoefficient(int(s)) for s in wanted])
    assert pair_dice(pair) == pytest.approx(expected, abs=1e-6)
    assert 0.05 < expected < 0.95
    still = torch.zeros(1, 3, *pair.fixed.shape[2:])
    assert pair_dice(pair, still) == pytest.approx(expected, abs=1e-6)
    # Everything is moved out of the volume: lost structures score 0.
    assert pair_dice(pair, still + 1000) == 0


def test_every_pair_comes_once_in_an_epoch_in_an_order_of_its_seed():
    source = [ShuffledEpochs(list(range(12)), seed) for seed in (3, 3, 4)]
    orders = [[each.pair(i) for i in range(36)] for each in source]
    assert orders[0] == orders[1] != orders[2]
    epochs = [orders[0][i : i + 12] for i in (0, 12, 24)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_the_number_of_workers_changes_nothing(workers):
    assert list(prefetched(lambda n: n * n, range(20), workers)) == [n * n for n in range(20)]


def test_an_error_of_a_worker_comes_where_its_pair_is_due():
    def make(number):
        if number == 2:
            raise UserError("Two is broken.")
        return number

    items = prefetched(make, range(9), 3)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(UserError, match="Two is broken"):
        next(items)


def test_as_many_scans_are_kept_as_memory_allows(preset, folder):
    subjects = [Subject(folder / f"{name}.nii.gz") for name in TURNS]
    reader = VolumeReader(preset, subjects[0], SPACING, EXTENT, most_bytes=2 * 32**3 * 4)
    volumes = [reader.read(subject) for subject in subjects]
    assert reader.read(subjects[-1]) is volumes[-1] and reader.read(subjects[-2]) is volumes[-2]
    again = reader.read(subjects[0])
    assert again is not volumes[0] and torch.equal(again.image, volumes[0].image)


def test_a_scan_that_two_threads_want_is_read_once(preset, folder):
    reader = VolumeReader(preset, Subject(folder / "a.nii.gz"), SPACING, EXTENT)
    found = list(prefetched(lambda n: reader.read(Subject(folder / "b.nii.gz")), range(4), 4))
    assert all(volume is found[0] for volume in found)


@pytest.mark.parametrize(
    ("split", "settings", "message"),
    [
        ({"a": "train", "b": "train"}, {}, "no validation scan, .* or give --no-validation"),
        (PARTS, {"labels_needed": True}, "a.nii.gz has no labels, which Dice needs; name its label map"),
        (PARTS, {}, "c.nii.gz has no labels, .* or give --no-validation"),
    ],
)
def test_missing_validation_and_labels_are_refused(preset, folder, split, settings, message):
    scans = read_split(write_csv(folder / "wrong.csv", split, labelled=False), None)
    with pytest.raises(UserError, match=message):
        recorded_data(scans, preset, replace(SETTINGS, **settings))


def test_without_validation_no_labels_are_needed(preset, folder):
    scans = read_split(write_csv(folder / "bare.csv", PARTS, labelled=False), None)
    data = recorded_data(scans, preset, replace(SETTINGS, validated=False))
    assert len(data.validation) == 0 and not data.training.pair(0).labelled


def test_shapes_that_differ_are_refused(preset, folder, tmp_path):
    small = sitk.ReadImage(str(folder / "b_labels.nii.gz"))[:, :, :-1]
    sitk.WriteImage(small, str(tmp_path / "small.nii.gz"))
    reader = VolumeReader(preset, Subject(folder / "a.nii.gz"), SPACING, EXTENT)
    with pytest.raises(UserError, match=r"has 64x60x70 voxels and its labels .* 64x60x69; give labels on"):
        reader.read(Subject(folder / "b.nii.gz", tmp_path / "small.nii.gz"))
    moved = sitk.ReadImage(str(folder / "b_labels.nii.gz"))
    moved.SetOrigin([v + 5 for v in moved.GetOrigin()])
    sitk.WriteImage(moved, str(tmp_path / "moved.nii.gz"))
    with pytest.raises(UserError, match="lie 5 mm apart in space; repair the header"):
        reader.read(Subject(folder / "b.nii.gz", tmp_path / "moved.nii.gz"))
    first = write_pickle(tmp_path / "a.pkl", arrays("a"))
    second = write_pickle(tmp_path / "b.pkl", arrays("b", (20, 20, 22)))
    with pytest.raises(
        UserError, match=r"b.pkl holds 20x20x22 voxels and .*a.pkl 20x20x24; crop all scans alike"
    ):
        VolumeReader(preset, Subject(first), SPACING, EXTENT).read(Subject(second))
    with pytest.raises(UserError, match="cannot be mixed"):
        reader.read(Subject(first))


def test_scans_that_lie_elsewhere_are_refused(preset, folder, tmp_path):
    image, labels = head("b")
    for part, name in ((image, "far.nii.gz"), (labels, "far_labels.nii.gz")):
        part.SetOrigin([v + 900 for v in part.GetOrigin()])
        sitk.WriteImage(part, str(tmp_path / name))
    reader = VolumeReader(preset, Subject(folder / "a.nii.gz"), SPACING, EXTENT)
    with pytest.raises(UserError, match=r"outside the training grid; check .* give --align affine"):
        reader.read(Subject(tmp_path / "far.nii.gz", tmp_path / "far_labels.nii.gz"))


def test_a_split_without_labels_in_a_pickle_is_refused(preset, tmp_path):
    files = {n: Subject(write_pickle(tmp_path / f"{n}.pkl", arrays(n)[0])) for n in ("a", "b", "c", "d")}
    split = Split((files["a"], files["b"]), (files["c"], files["d"]))
    with pytest.raises(UserError, match=r"c.pkl holds no labels, which Dice needs"):
        recorded_data(split, preset, SETTINGS)
    assert Grid.from_image(head("a")[0]).axis_codes == "LIA"
