"""Training pairs: labels, pose and sampling against SimpleITK, images against what the network will see."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_heads import small_head

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.training import appearance
from SACBRegistrationLib.training.deformation import random_displacement, smooth_noise
from SACBRegistrationLib.training.label_classes import (
    BRAIN_CLASSES,
    CSF,
    STRUCTURES,
    compact,
    mirror_table,
    structure_table,
)
from SACBRegistrationLib.training.label_maps import LabelMap, read_label_maps
from SACBRegistrationLib.training.label_volume import sample_head
from SACBRegistrationLib.training.synthesis import PairSynthesizer, SynthesisSettings, grid_size

NUMBERS = {c.name: i for i, c in enumerate(BRAIN_CLASSES)}
OBLIQUE = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.2, -0.15, 0.1).GetMatrix()


def _turned(angle, shift):
    return sitk.Euler3DTransform((0.0, 0.0, 0.0), angle, 0.06, -0.05, shift)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    heads = {
        "upright": small_head(),
        "turned": small_head(_turned(0.15, (9.0, -6.0, 4.0))),
        "oblique": small_head(size=(66, 70, 60), spacing=(2.7, 3.0, 3.3), direction=OBLIQUE),
    }
    for name, image in heads.items():
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return [folder / f"{name}.nii.gz" for name in heads]


@pytest.fixture(scope="module")
def maps(files):
    return read_label_maps(files, "LIA")


def _common(head: LabelMap, name: str) -> np.ndarray:
    """Returns where a structure's centroid lies in the common frame, mm."""
    place = np.argwhere(head.classes == NUMBERS[name]).mean(axis=0) * head.spacing
    return np.linalg.solve(head.pose[:, :3], place - head.pose[:, 3])


def test_compact_classes_keep_sides_and_drop_what_lies_outside_the_brain():
    values = np.array([0, 2, 41, 17, 53, 24, 502, 515, 251, 9999, -3, 300], dtype=np.float32)
    names = [BRAIN_CLASSES[number].name for number in compact(values)]
    assert names[:3] == ["background", "left white matter", "right white matter"]
    assert names[3:6] == ["left hippocampus", "right hippocampus", "csf"]
    assert names[6:8] == ["background"] * 2 and names[8].endswith("white matter")
    assert names[9:] == ["background"] * 3


def test_mirroring_twice_changes_nothing_and_keeps_the_structures_of_the_midline():
    table = mirror_table()
    assert (table[table] == np.arange(len(BRAIN_CLASSES))).all()
    assert table[NUMBERS["left cortex"]] == NUMBERS["right cortex"]
    assert table[NUMBERS["brain-stem"]] == NUMBERS["brain-stem"]


def test_maps_are_brought_to_the_wanted_axes(maps):
    for head in maps:
        left, right = (
            np.argwhere(head.classes == NUMBERS[f"{side} putamen"]).mean(axis=0) for side in ("left", "right")
        )
        stem = np.argwhere(head.classes == NUMBERS["brain-stem"]).mean(axis=0)
        cerebellum = np.argwhere(head.classes == NUMBERS["left cerebellar cortex"]).mean(axis=0)
        assert left[0] > right[0] + 10, "axis 0 grows to the left"
        assert stem[1] > left[1] + 5, "axis 1 grows downwards"
        assert cerebellum[2] < left[2] - 10, "axis 2 grows to the front"


def test_turned_shifted_and_oblique_heads_meet_in_the_common_pose(maps):
    for name in ("left hippocampus", "right putamen", "brain-stem", "left cerebellar white matter"):
        places = np.array([_common(head, name) for head in maps])
        assert np.abs(places - places.mean(axis=0)).max() < 2.0, name


def test_the_common_pose_keeps_the_size_of_the_heads(maps):
    scales = [np.linalg.det(head.pose[:, :3]) for head in maps]
    assert np.mean(scales) == pytest.approx(1, abs=0.03)


def test_sampling_agrees_with_simpleitk(maps):
    head, spacing, size = maps[0], 3.0, (64, 48, 48)
    matrix = np.eye(3) + np.random.default_rng(0).normal(scale=0.04, size=(3, 3))
    affine = np.concatenate([matrix, [[3.0], [-5.0], [2.0]]], axis=1)
    field = torch.zeros(3, *size)
    field[0], field[2] = 4.5, -1.5
    volume = sample_head(head, affine, field, spacing, mirrored=False)

    # The same by SimpleITK: points of the fine grid through an affine transform, nearest label, block means.
    image = sitk.GetImageFromArray(np.ascontiguousarray(head.classes.transpose(2, 1, 0)))
    image.SetSpacing(head.spacing)
    transform = sitk.CompositeTransform(3)
    for part in (head.pose, affine, np.concatenate([np.eye(3), [[4.5], [0.0], [-1.5]]], axis=1)):
        step = sitk.AffineTransform(3)
        step.SetMatrix(part[:, :3].ravel())
        step.SetTranslation(part[:, 3])
        transform.AddTransform(step)
    fine = [2 * n for n in size]
    origin = [-(n - 1) / 2 * spacing / 2 for n in fine]
    sampled = sitk.Resample(
        image, fine, transform, sitk.sitkNearestNeighbor, origin, [spacing / 2] * 3, np.eye(3).ravel(), 0
    )
    array = sitk.GetArrayFromImage(sampled).transpose(2, 1, 0)
    shares = volume.structure_shares()[0].numpy()
    for channel in range(len(STRUCTURES)):
        of_structure = (structure_table()[array] == channel).astype(float)
        expected = of_structure.reshape(size[0], 2, size[1], 2, size[2], 2).mean(axis=(1, 3, 5))
        # Points half-way between two voxels may round to either.
        assert np.abs(shares[channel] - expected).mean() < 2e-3 * max(expected.mean(), 1e-3), STRUCTURES[
            channel
        ]


def test_a_mirrored_head_is_the_flipped_head(maps):
    head, field, affine = maps[0], torch.zeros(3, 64, 48, 48), np.eye(3, 4)
    plain = sample_head(head, affine, field, 3.0, mirrored=False).structure_shares()
    mirrored = sample_head(head, affine, field, 3.0, mirrored=True).structure_shares()
    order = [STRUCTURES.index(_other_side(name)) for name in STRUCTURES]
    difference = (mirrored - plain.flip(2)[:, order]).abs()
    assert float(difference.mean()) < 0.01 * float(plain.mean())


def _other_side(name: str) -> str:
    if name.startswith("left "):
        return name.replace("left ", "right ", 1)
    return name.replace("right ", "left ", 1)


def test_the_same_seed_and_step_give_the_same_pair_and_others_another(maps):
    synthesizer = PairSynthesizer(maps)
    first, again = synthesizer.pair(3, 7, 6.0), synthesizer.pair(3, 7, 6.0)
    for name in ("moving", "fixed", "moving_labels", "fixed_labels"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.fixed, synthesizer.pair(3, 8, 6.0).fixed)
    assert not torch.equal(first.fixed, synthesizer.pair(4, 7, 6.0).fixed)


@pytest.mark.parametrize("step", range(4))
def test_pairs_are_what_the_network_takes(maps, step):
    pair = PairSynthesizer(maps, SynthesisSettings(extent=(190, 160, 150))).pair(0, step, 5.0)
    assert pair.moving.shape == pair.fixed.shape == (1, 1, 48, 32, 32)
    assert pair.moving_labels.shape == (1, len(STRUCTURES), 48, 32, 32)
    for image, labels in ((pair.moving, pair.moving_labels), (pair.fixed, pair.fixed_labels)):
        assert image.dtype == torch.float32 and bool(torch.isfinite(image).all())
        assert float(image.min()) == 0 and 0.7 < float(image.max()) <= 1
        # Background and the tissue outside the brain are removed.
        assert float((image == 0).float().mean()) > 0.3
        brain = labels.sum(dim=1, keepdim=True)
        assert float(brain.max()) <= 1 and float(image[brain > 0.9].mean()) > 0.1
        assert bool(((brain > 0) & (brain < 1)).any()), "voxels at borders hold shares"


def test_t1_images_show_white_matter_brighter_than_grey_and_fluid(maps):
    synthesizer = PairSynthesizer(maps, SynthesisSettings(t1_share=1.0))
    for step in range(5):
        pair = synthesizer.pair(1, step, 4.0)
        shares = dict(zip(STRUCTURES, pair.fixed_labels[0], strict=True))
        white, grey, fluid = (
            float(pair.fixed[0, 0][shares[f"left {name}"] > 0.95].mean())
            for name in ("white matter", "cortex", "lateral ventricle")
        )
        assert white > grey > fluid


def test_fluid_is_removed_in_some_pairs_and_nothing_else_ever_is(maps):
    volume = sample_head(maps[0], np.eye(3, 4), torch.zeros(3, 64, 48, 48), 3.0, mirrored=False)
    kept = []
    for seed in range(30):
        stripped = appearance.strip_fluid(volume, np.random.default_rng(seed))
        assert int((stripped.classes > CSF).sum()) == int((volume.classes > CSF).sum())
        kept.append(float((stripped.classes == CSF).sum() / (volume.classes == CSF).sum()))
    assert min(kept) == 0 and max(kept) == 1
    assert any(0.05 < share < 0.95 for share in kept)


def test_random_displacements_are_smooth_and_as_large_as_asked():
    generator = np.random.default_rng(5)
    fields = torch.stack([random_displacement((40, 48, 44), 4.0, 1.0, generator) for _ in range(20)])
    # Three scales of at most 6, 4 and 2 mm, each drawn uniformly: root of a third of the sum of squares.
    assert float(fields.std()) == pytest.approx(np.sqrt((36 + 16 + 4) / 3), rel=0.2)
    assert max(float(fields.diff(dim=axis).abs().max()) for axis in (2, 3, 4)) < 4.0, "no jumps"
    assert float(random_displacement((16, 16, 16), 4.0, 0.0, generator).abs().max()) == 0


def test_smooth_noise_has_unit_deviation_on_average():
    generator = np.random.default_rng(6)
    noise = torch.stack([smooth_noise((30, 40, 50), 3.0, 10.0, generator) for _ in range(5)])
    assert float(noise.std()) == pytest.approx(1, rel=0.1)


def test_grids_of_different_size_are_drawn_around_the_same_middle(maps):
    settings = SynthesisSettings(extent=(190, 180, 200), largest_extent=(280, 180, 280), deformation=0)
    pairs = [PairSynthesizer(maps, settings).pair(0, step, 6.0) for step in range(12)]
    sizes = {tuple(pair.fixed.shape[2:]) for pair in pairs}
    assert {d for d, _, _ in sizes} == {32, 48} and {h for _, h, _ in sizes} == {32}
    assert {w for _, _, w in sizes} == {48}
    for pair in pairs:
        mass = pair.fixed_labels.sum(dim=(1, 3, 4))[0]
        center = float((mass * torch.arange(len(mass))).sum() / mass.sum())
        assert abs(center - (len(mass) - 1) / 2) < 4


def test_grids_cover_the_extent_in_steps_of_sixteen():
    assert grid_size((160, 192, 224), 3.0) == (64, 64, 80)
    assert grid_size((160, 192, 224), 2.0) == (80, 96, 112)
    assert grid_size((160, 192, 224), 1.0) == (160, 192, 224)


def test_validation_pairs_go_round_the_ordered_pairs(maps):
    pairs = PairSynthesizer(maps[:2]).validation_pairs(3, 0, 6.0)
    again = PairSynthesizer(maps[:2]).validation_pairs(3, 0, 6.0)
    assert len(pairs) == 3
    assert all(torch.equal(a.moving, b.moving) for a, b in zip(pairs, again, strict=True))
    assert not torch.equal(pairs[0].fixed, pairs[2].fixed)


def test_files_without_a_brain_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no label map to train on"):
        read_label_maps([], "LIA")
    text = tmp_path / "text.nii.gz"
    text.write_text("no image")
    with pytest.raises(UserError, match=r"text\.nii\.gz cannot be read"):
        read_label_maps([text], "LIA")
    empty = tmp_path / "empty.nii.gz"
    sitk.WriteImage(sitk.Image(20, 21, 22, sitk.sitkInt16), str(empty))
    with pytest.raises(UserError, match="holds no FreeSurfer brain label"):
        read_label_maps([empty], "LIA")
    flat = tmp_path / "flat.nii.gz"
    sitk.WriteImage(sitk.Image(20, 21, sitk.sitkInt16), str(flat))
    with pytest.raises(UserError, match="is not a 3D volume"):
        read_label_maps([flat], "LIA")
