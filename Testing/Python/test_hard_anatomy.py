"""Real scans that show less, more or something else than expected: right within limits, or it is said."""

import numpy as np
import pytest
import SimpleITK as sitk
from Benchmarks.altered import transform_errors
from Benchmarks.hard_cases import ABDOMEN, BRAIN
from Benchmarks.hard_scans import (
    cropped,
    half_turn,
    moved_truth,
    other_contrast,
    placed,
    swapped,
    with_head,
    with_metal,
    zero_bordered,
)
from hard_fixtures import abdomen_scene, brain_scene, run, start_near
from shared_data import require_shared

from SACBRegistrationLib.imaging.alignment import align
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.anatomy_notes import anatomy_notes
from SACBRegistrationLib.registration.pair import prepare_image
from SACBRegistrationLib.registration.self_check import GOOD, Limits


def notes_on(fixed, moving, preset="ixi", moving_mask=None) -> list[str]:
    chosen = load_preset(preset)
    how = chosen.normalization
    pair = (
        prepare_image(fixed, "fixed", how, None, None),
        prepare_image(moving, "moving", how, moving_mask, None),
    )
    return anatomy_notes(*pair, chosen)


def test_skull_and_neck_are_recognised_and_said():
    scene = brain_scene()
    head = with_head(scene.scan, scene.anatomy, np.random.default_rng(0))
    (note,) = notes_on(scene.copy.image, head)
    assert note.startswith("The moving image seems to show skull or neck") and "preset ixi" in note
    assert "strip the skull" in note and "mask of the brain" in note
    assert notes_on(scene.copy.image, scene.scan) == []
    # The way out that the sentence names.
    mask = Grid.from_image(head).resample(scene.anatomy, interpolator=sitk.sitkNearestNeighbor)
    assert notes_on(scene.copy.image, head, moving_mask=mask) == []
    assert notes_on(head, head, preset="abdomen-ct") == []


@pytest.mark.parametrize("name", ["MRBrainTumor1", "MRBrainTumor2"])
def test_real_heads_are_recognised(name):
    head = read_volume(require_shared(f"data/slicer-sample/{name}.nii.gz"), "fixed")
    assert len(notes_on(head, head)) == 2


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_largest_stripped_brains_are_none(name):
    brain = read_volume(require_shared(f"data/brain-freesurfer-pair/{name}_t1.nii.gz"), "fixed")
    assert notes_on(brain[::3, ::3, ::3], brain[::2, ::2, ::3]) == []


def test_upper_half_of_a_brain_from_the_whole():
    scene = brain_scene()
    fixed, inside = (cropped(image, "S", (0.5, 1.0)) for image in (scene.copy.image, scene.copy.inside))
    found = run(
        BRAIN, fixed, scene.scan, scene.copy.truth, inside, alignment="none",
        initial_transform=start_near(scene),
    )  # fmt: skip
    assert found.error < 3


def test_whole_brain_from_one_lobe_says_how_little_it_saw():
    scene = brain_scene()
    lobe = cropped(cropped(scene.scan, "P", (0.65, 1.0)), "S", (0.2, 0.8))
    found = run(
        BRAIN, scene.copy.image, lobe, scene.copy.truth, scene.copy.inside, alignment="none",
        initial_transform=start_near(scene),
    )  # fmt: skip
    assert found.error < 3
    assert found.verdict != GOOD and "shows only" in " ".join(found.report["self_check"]["reasons"])


def test_t2_contrast_against_t1():
    scene = brain_scene()
    moving = other_contrast(scene.scan, scene.anatomy)
    values, other = (
        sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(scene.anatomy) != 0]
        for image in (scene.scan, moving)
    )
    assert np.corrcoef(values, other)[0, 1] < -0.3
    found = run(
        BRAIN, scene.copy.image, moving, scene.copy.truth, scene.copy.inside, alignment="none",
        initial_transform=start_near(scene),
    )  # fmt: skip
    assert found.error < 3


def test_metal_and_borders_of_zero():
    scene = abdomen_scene()
    moving = zero_bordered(with_metal(scene.scan, np.random.default_rng(1)), 3)
    assert sitk.GetArrayViewFromImage(moving).max() == 3071 and moving[0, 0, 0] == 0
    found = run(
        ABDOMEN, scene.copy.image, moving, scene.copy.truth, scene.copy.inside, alignment="none",
        initial_transform=start_near(scene, 5.0),
    )  # fmt: skip
    assert found.error < 5


@pytest.mark.parametrize("off", [0.0, 22.0], ids=["right", "wrong"])
def test_upper_abdomen_from_the_whole(off):
    scene = abdomen_scene()
    fixed, inside = (cropped(image, "S", (0.45, 1.0)) for image in (scene.copy.image, scene.copy.inside))
    found = run(
        ABDOMEN, fixed, scene.scan, scene.copy.truth, inside, alignment="none",
        initial_transform=start_near(scene, off),
    )  # fmt: skip
    # A brain's limit, taken of a body's width, let the wrong one pass.
    assert (found.error > 5, found.verdict == GOOD) == ((False, True) if off == 0 else (True, False))


def test_left_half_from_the_right_half_is_never_called_good():
    scene = brain_scene()
    left, inside = (cropped(image, "L", (0.5, 1.0)) for image in (scene.copy.image, scene.copy.inside))
    right = cropped(scene.scan, "L", (0.0, 0.5))
    offset = Grid.from_image(right).center - Grid.from_image(left).center
    # What an alignment does: it lays one half on the other.
    found = run(
        BRAIN, left, right, sitk.TranslationTransform(3, offset.tolist()), inside, alignment="none",
        initial_transform=sitk.TranslationTransform(3, offset.tolist()),
    )  # fmt: skip
    assert found.verdict != GOOD


def test_turned_prone_and_500_mm_apart_is_found():
    scene = brain_scene()
    turn, away = half_turn(scene.scan), sitk.TranslationTransform(3, (300.0, -400.0, 0.0))
    moving = placed(placed(scene.scan, turn), away)
    truth = moved_truth(scene.copy, sitk.CompositeTransform([away, turn]))
    before = transform_errors(sitk.Transform(3, sitk.sitkIdentity), truth, scene.copy.inside).mean()
    found = align(scene.copy.image, moving, "rigid")
    error = transform_errors(found.transform, truth, scene.copy.inside).mean()
    # A rigid map leaves the copy's own scaling and bending.
    assert error < 6 and before > 450
    assert found.mirrored_gain < Limits().mirrored_gain


def test_swapped_left_and_right_is_noticed():
    scene = brain_scene()
    found = align(
        scene.copy.image, swapped(scene.scan, "L"), "rigid", initial=scene.copy.truth.GetNthTransform(0)
    )
    assert found.mirrored_gain > Limits().mirrored_gain
    assert align(scene.copy.image, scene.scan, "none").mirrored_gain is None
