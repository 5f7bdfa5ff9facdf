"""Training pairs of abdomens: sampling against SimpleITK, deformations, images and their labels."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_abdomen import write_small_abdomen
from torch.nn import functional as F

from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.training import abdomen_appearance as appearance
from SACBRegistrationLib.training.abdomen_classes import ABDOMEN_CLASSES, NUMBER, STRUCTURES
from SACBRegistrationLib.training.abdomen_deformation import (
    RESIDUAL,
    Frame,
    exponential,
    jacobian_determinants,
    random_velocity,
)
from SACBRegistrationLib.training.abdomen_maps import read_abdomens
from SACBRegistrationLib.training.abdomen_synthesis import AbdomenSettings, AbdomenSynthesizer
from SACBRegistrationLib.training.abdomen_variation import own_anatomy, shared_anatomy
from SACBRegistrationLib.training.abdomen_volume import AbdomenVolume, sample_abdomen
from SACBRegistrationLib.training.deformation import random_affine
from SACBRegistrationLib.training.synthesis import PairSynthesizer, SynthesisSettings
from SACBRegistrationLib.training.synthesizers import synthesizer_for, validation_maps_for

SMALL = AbdomenSettings(extent=(360.0, 280.0, 260.0))
SPACING = 9.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_small_abdomen(tmp_path_factory.mktemp("abdomen"))


@pytest.fixture(scope="module")
def abdomen(files):
    return read_abdomens(files, "LAS")[0]


@pytest.fixture(scope="module")
def synthesizer(abdomen):
    return AbdomenSynthesizer([abdomen], SMALL)


@pytest.mark.parametrize("mirrored", [False, True])
def test_sampling_agrees_with_simpleitk(abdomen, mirrored):
    generator = np.random.default_rng(4)
    frame = Frame((48, 32, 32), 7.5, np.array([4.0, -6.0, 10.0]))
    affine = random_affine(RESIDUAL, generator)
    coarse = frame.coarser()
    field = exponential(random_velocity(abdomen, coarse, 1.0, generator), coarse.spacing)
    volume = sample_abdomen(abdomen.classes, abdomen.spacing, abdomen.middle, affine, field, frame, mirrored)
    picture = sitk.GetImageFromArray(abdomen.classes.transpose(2, 1, 0))
    picture.SetSpacing((abdomen.spacing,) * 3)
    picture.SetOrigin((-abdomen.middle).tolist())
    displacement = sitk.GetImageFromArray(
        field.numpy().transpose(3, 2, 1, 0).astype(np.float64), isVector=True
    )
    displacement.SetSpacing((coarse.spacing,) * 3)
    displacement.SetOrigin(_first(coarse))
    about = sitk.AffineTransform(affine[:, :3].ravel().tolist(), affine[:, 3].tolist(), frame.center.tolist())
    flip = sitk.AffineTransform(np.diag([-1.0 if mirrored else 1.0, 1, 1]).ravel().tolist(), (0, 0, 0))
    steps = sitk.CompositeTransform([flip, about, sitk.DisplacementFieldTransform(displacement)])
    fine = Frame(tuple(2 * n for n in frame.size), frame.spacing / 2, frame.center)
    expected = sitk.Resample(
        picture, fine.size, steps, sitk.sitkNearestNeighbor, _first(fine), (fine.spacing,) * 3
    )
    expected = sitk.GetArrayFromImage(expected).transpose(2, 1, 0)
    # The field of the independent reader ends at the outermost coarse centres.
    inner = (slice(4, -4),) * 3
    got = volume.classes.reshape(fine.size).numpy()[inner]
    assert len(np.unique(got)) > 8
    assert (got == expected[inner]).mean() > 0.998


def _first(frame):
    return [float(c - (n - 1) / 2 * frame.spacing) for c, n in zip(frame.center, frame.size, strict=True)]


def test_shares_are_those_of_the_points(abdomen):
    frame = Frame((16, 32, 16), 6.0, np.zeros(3))
    points = np.random.default_rng(0).integers(0, len(ABDOMEN_CLASSES), (32, 64, 32))
    volume = AbdomenVolume(torch.from_numpy(points).int().reshape(-1), frame)
    shares = volume.structure_shares()[0]
    assert shares.shape == (len(STRUCTURES), *frame.size)
    counts = {name: np.zeros(frame.size) for name in STRUCTURES}
    for corner in np.ndindex(2, 2, 2):
        part = points[corner[0] :: 2, corner[1] :: 2, corner[2] :: 2]
        for number, each in enumerate(ABDOMEN_CLASSES):
            if each.structure is not None:
                counts[each.structure] += part == number
            counts["body"] += (part == number) & (number != NUMBER["air"])
    for share, name in zip(shares, STRUCTURES, strict=True):
        assert share.numpy() == pytest.approx(counts[name] / 8, abs=1e-6)


@pytest.mark.parametrize("strength", [1.0, 4.0])
def test_deformations_are_large_and_never_fold(abdomen, strength):
    frame = Frame((48, 48, 48), 7.0, np.zeros(3))
    coarse = frame.coarser()
    largest = []
    for seed in range(4):
        velocity = random_velocity(abdomen, coarse, strength, np.random.default_rng(seed))
        field = exponential(velocity, coarse.spacing)
        fine = F.interpolate(field[None], size=frame.size, mode="trilinear", align_corners=False)[0]
        assert float(jacobian_determinants(fine / frame.spacing).min()) > 0
        largest.append(float(fine.norm(dim=0).max()))
    assert min(largest) > 12, "mm"


def test_flowing_back_undoes_the_flow(abdomen):
    frame = Frame((32, 32, 32), 11.0, np.zeros(3))
    velocity = random_velocity(abdomen, frame, 0.4, np.random.default_rng(1))
    there, back = exponential(velocity, frame.spacing), exponential(-velocity, frame.spacing)
    images = []
    for field in (there, back):
        image = sitk.GetImageFromArray(field.numpy().transpose(3, 2, 1, 0).astype(np.float64), isVector=True)
        image.SetSpacing((frame.spacing,) * 3)
        image.SetOrigin(_first(frame))
        images.append(sitk.DisplacementFieldTransform(image))
    both = sitk.CompositeTransform(images)
    points = np.random.default_rng(2).uniform(-100, 100, (200, 3))
    moved = np.array([images[1].TransformPoint(p) for p in points])
    left = np.array([both.TransformPoint(p) for p in points])
    error, size = (np.linalg.norm(p - points, axis=1).mean() for p in (left, moved))
    assert size > 5 and error < 0.1 * size


def test_own_anatomy_differs_and_shared_anatomy_does_not(abdomen):
    first, again = (shared_anatomy(abdomen.classes, 3.0, 1.0, np.random.default_rng(3)) for _ in range(2))
    assert (first == again).all()
    assert (first >= NUMBER["shape 0"]).any() and (first == NUMBER["hepatic vessel"]).any()
    others = [own_anatomy(abdomen.classes, 3.0, np.random.default_rng(seed)) for seed in range(2)]
    assert (others[0] != others[1]).mean() > 0.002
    for other in others:
        kept = np.isin(abdomen.classes, [NUMBER[n] for n in ("air", "skin", "cortical bone", "vertebra")])
        assert (other[kept] == abdomen.classes[kept]).all()


def test_contrast_phases_enhance_what_they_should():
    def mean(phase, name):
        units = [
            appearance.random_units(np.eye(4)[phase], np.zeros(6), False, np.random.default_rng(seed))
            for seed in range(30)
        ]
        return np.mean([u[NUMBER[name]] for u in units])

    native, arterial, portal, _ = range(4)
    assert mean(arterial, "artery") > 220 > mean(portal, "artery") > 120 > mean(native, "artery")
    assert mean(portal, "liver") > mean(native, "liver") + 30
    assert mean(portal, "portal vein") > mean(arterial, "portal vein")
    assert mean(portal, "fat") == pytest.approx(-102, abs=6)


def test_images_are_windowed_like_the_preset_and_show_what_the_labels_say(synthesizer):
    for step in range(3):
        pair = synthesizer.pair(5, step, SPACING)
        for image, shares in ((pair.fixed, pair.fixed_labels), (pair.moving, pair.moving_labels)):
            assert image.shape[2:] == shares.shape[2:] and image.dtype == torch.float32
            assert all(n % 16 == 0 for n in image.shape[2:])
            assert torch.isfinite(image).all() and float(image.min()) >= 0 and float(image.max()) <= 1
            assert float(shares.min()) >= 0 and float(shares.max()) <= 1
            body = shares[0, -1]
            scanned = (image[0, 0] > 0.2).any(dim=0).any(dim=0)
            levels = scanned.nonzero()[2:-2, 0]
            inside = image[0, 0][:, :, levels][body[:, :, levels] > 0.99]
            assert float(((inside > 0.4) & (inside < 0.65)).float().mean()) > 0.75, "soft tissue and fat"
            outside = image[0, 0][:, :, levels][body[:, :, levels] == 0]
            assert float((outside < 0.1).float().mean()) > 0.75, "air, but for a table"


def test_the_same_seed_and_step_give_the_same_pair(abdomen, synthesizer):
    first = synthesizer.pair(1, 7, SPACING)
    again = AbdomenSynthesizer([abdomen], SMALL).pair(1, 7, SPACING)
    other = synthesizer.pair(1, 8, SPACING)
    for name in ("moving", "fixed", "moving_labels", "fixed_labels"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.fixed, other.fixed)
    assert not torch.equal(first.fixed, first.moving)
    assert first.fixed_labels.shape == first.moving_labels.shape


def test_grids_are_drawn_between_the_extents(abdomen):
    settings = replace(SMALL, extent=(280.0, 280.0, 140.0), largest_extent=(280.0, 280.0, 290.0))
    pairs = [AbdomenSynthesizer([abdomen], settings).pair(0, step, 14.0) for step in range(8)]
    assert {tuple(p.fixed.shape[2:]) for p in pairs} == {(32, 32, n) for n in (16, 32)}


def test_validation_pairs_stay_the_same_on_the_smallest_grid(synthesizer):
    first, again = (synthesizer.validation_pairs(2, 9, SPACING) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.fixed, other.fixed) and torch.equal(one.moving_labels, other.moving_labels)
        assert tuple(one.fixed.shape[2:]) == (48, 32, 32)
    assert not torch.equal(first[0].fixed, first[1].fixed)


def test_the_preset_chooses_the_synthesiser(files, monkeypatch):
    settings = SynthesisSettings(extent=(200.0, 210.0, 220.0), deformation=0.4)
    made = synthesizer_for("abdomen-ct", files, "LAS", settings)
    assert made.settings == AbdomenSettings((200.0, 210.0, 220.0), None, 0.4)
    monkeypatch.setattr(
        PairSynthesizer, "from_files", classmethod(lambda cls, *arguments: ("heads", *arguments))
    )
    assert synthesizer_for("ixi", files, "LIA", settings) == ("heads", files, "LIA", settings)
    assert validation_maps_for("ixi", files, []) == ()
    assert validation_maps_for("abdomen-ct", files, []) == tuple(files)
    assert validation_maps_for("abdomen-ct", files, files[:1]) == tuple(files[:1])


def test_the_command_trains_a_network_on_abdomens(files, tmp_path):
    options = [
        "--preset",
        "abdomen-ct",
        "--label-maps",
        str(files[0].parent),
        "--steps",
        "2",
        "--threads",
        "1",
    ]
    grid = ["--spacing", "12", "--extent", "360", "280", "260"]
    arguments = [
        "train",
        *options,
        *grid,
        "--validate-every",
        "2",
        "--device",
        "cpu",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert len(rows) == 2 and all(np.isfinite(float(row["loss"])) for row in rows)
    scores = list(csv.DictReader((tmp_path / "out" / "validation.csv").open()))
    assert len(scores) == 1 and 0.1 < float(scores[0]["dice_before"]) < 1
    # A map and the scan beside it are one.
    assert load_checkpoint(tmp_path / "out" / "weights.pt").info["training_data"].endswith("maps: 1")
