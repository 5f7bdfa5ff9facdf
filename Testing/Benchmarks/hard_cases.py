"""The pairs of hard_inputs.py: copies of real scans with a known truth, made easy, hard or impossible."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from Benchmarks.altered import Alteration, AlteredScan, alter
from Benchmarks.hard_scans import (
    coarse,
    cropped,
    half_turn,
    moved_truth,
    other_contrast,
    placed,
    swap_transform,
    swapped,
    with_head,
    with_metal,
    zero_bordered,
)

from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.presets import Preset

# Error of the start that is given instead of an alignment: mm, degrees about an oblique axis.
STARTS = ((0, 0), (6, 0), (14, 0), (22, 0), (0, 12), (0, 25), (0, 90), (12, 15))
_QUICK_STARTS = ((0, 0), (30, 0), (0, 90))
_WAY, _AXIS = (0.6, 0.64, 0.48), (0.36, 0.48, 0.8)


@dataclass(frozen=True)
class Kind:
    """How the scans of one part of the body are altered and registered, so that a run takes seconds.

    Attributes:
        preset: Name of the preset.
        spacing: Of the scans, mm.
        copies: Voxel sizes of the copies, mm.
        options: Arguments of `register`.
    """

    preset: str
    spacing: float
    copies: tuple[float, float, float]
    options: Mapping[str, object]


BRAIN = Kind("ixi", 3.0, (2.7, 3.0, 3.6), {"weights": "none", "refine": 12, "refine_spacing": 3.0})
ABDOMEN = Kind("abdomen-ct", 3.0, (2.7, 3.0, 3.75), {"weights": "none", "refine": 12, "refine_spacing": 3.0})


@dataclass(frozen=True)
class Case:
    """One pair.

    Attributes:
        name: What was done.
        fixed: The fixed image.
        moving: The moving image.
        truth: Takes fixed points to moving points, LPS mm; None where nothing in the moving image belongs to
            the fixed one.
        inside: Where the fixed anatomy is.
        options: Arguments of `register` besides the kind's.
    """

    name: str
    fixed: sitk.Image
    moving: sitk.Image
    truth: sitk.Transform | None
    inside: sitk.Image
    options: Mapping[str, object] = field(default_factory=dict)


CaseMaker = Callable[[], Case]


@dataclass(frozen=True)
class Scene:
    """A scan, its copy, and what else the cases are made of.

    Attributes:
        scan: The coarse scan, the moving image.
        anatomy: Its mask.
        copy: The altered copy, the fixed image.
        stranger: A coarse scan of another part of the body.
        seed: Of everything random.
    """

    scan: sitk.Image
    anatomy: sitk.Image
    copy: AlteredScan
    stranger: sitk.Image
    seed: int


def make_scene(scan: sitk.Image, stranger: sitk.Image, kind: Kind, preset: Preset, seed: int) -> Scene:
    """Reduces a scan and draws its copy.

    Args:
        scan: As read.
        stranger: As read; of another part of the body.
        kind: How.
        preset: The kind's preset.
        seed: Of everything random.
    """
    small = coarse(scan, kind.spacing)
    anatomy = foreground_mask(small, preset.normalization.air_threshold)
    how = Alteration(6.0 if kind is BRAIN else 10.0, spacings=kind.copies)
    copy = alter(small, anatomy, how, np.random.default_rng(seed))
    return Scene(small, anatomy, copy, coarse(stranger, kind.spacing), seed)


def start_cases(scene: Scene, quick: bool = False) -> dict[str, CaseMaker]:
    """Returns cases whose alignment is given, from right to hopelessly wrong."""

    def make(mm: float, degrees: float) -> Case:
        wrong = sitk.AffineTransform(3)
        wrong.SetCenter(tuple(map(float, Grid.from_image(scene.copy.image).center)))
        wrong.SetMatrix(sitk.VersorTransform(_AXIS, float(np.radians(degrees))).GetMatrix())
        wrong.SetTranslation((mm * np.asarray(_WAY)).tolist())
        start = sitk.CompositeTransform([scene.copy.truth.GetNthTransform(0), wrong])
        return _plain(
            scene, f"start off by {mm} mm, {degrees} deg", alignment="none", initial_transform=start
        )

    return {
        f"start_{mm}mm_{degrees}deg": lambda mm=mm, degrees=degrees: make(mm, degrees)
        for mm, degrees in (_QUICK_STARTS if quick else STARTS)
    }


def whole_cases(scene: Scene) -> dict[str, CaseMaker]:
    """Returns cases that search for the alignment, too, which takes most of the time."""
    return {
        "plain": lambda: _plain(scene, "nothing else"),
        "few_steps": lambda: _plain(scene, "alignment alone", refine=0),
        "far": lambda: _placed(scene, "500 mm apart", sitk.TranslationTransform(3, (300.0, -400.0, 0.0))),
        "prone": lambda: _placed(scene, "turned prone", half_turn(scene.scan)),
        "swapped_lr": lambda: _swapped(scene, "left and right swapped", "L"),
    }


def given_cases(scene: Scene) -> dict[str, CaseMaker]:
    """Returns cases that start from the true affine map, or from matched centres where there is none."""
    given = {"alignment": "none", "initial_transform": scene.copy.truth.GetNthTransform(0)}

    def moving(name: str, image: sitk.Image) -> Case:
        """A moving image whose anatomy lies where the scan has it, as far as it is there."""
        return Case(name, scene.copy.image, image, scene.copy.truth, scene.copy.inside, given)

    def random() -> np.random.Generator:
        return np.random.default_rng(scene.seed)

    return {
        "network": lambda: _plain(scene, "network alone", weights=None, refine=0, **given),
        "no_steps": lambda: _plain(scene, "true affine map alone", refine=0, **given),
        "thick": lambda: moving("moving: 6 mm slices", coarse(scene.scan, _thick(scene, 6.0))),
        "half_moving": lambda: moving("moving: upper half", cropped(scene.scan, "S", (0.5, 1.0))),
        "half_fixed": lambda: _half_fixed(scene, given),
        "slab": lambda: moving("moving: slab of a tenth", cropped(scene.scan, "S", (0.45, 0.55))),
        "t2": lambda: moving("moving: T2 contrast", other_contrast(scene.scan, scene.anatomy)),
        "head": lambda: moving("moving: skull and neck", with_head(scene.scan, scene.anatomy, random())),
        "metal": lambda: moving("moving: metal", with_metal(scene.scan, random())),
        "zeros": lambda: moving("moving: borders of 0", zero_bordered(scene.scan, 3)),
        "swapped_is": lambda: _swapped(scene, "head and feet swapped", "S", given),
        "other_side": lambda: _other_side(scene),
        "stranger": lambda: Case(
            "another part of the body", scene.copy.image, scene.stranger, None, scene.copy.inside,
            _centers_matched(scene.copy.image, scene.stranger),
        ),
    }  # fmt: skip


def _plain(scene: Scene, name: str, **options: object) -> Case:
    return Case(name, scene.copy.image, scene.scan, scene.copy.truth, scene.copy.inside, options)


def _placed(scene: Scene, name: str, after: sitk.Transform) -> Case:
    truth = moved_truth(scene.copy, after)
    return Case(name, scene.copy.image, placed(scene.scan, after), truth, scene.copy.inside)


def _swapped(scene: Scene, name: str, code: str, options: Mapping[str, object] | None = None) -> Case:
    truth = moved_truth(scene.copy, swap_transform(scene.scan, code))
    moving = swapped(scene.scan, code)
    return Case(name, scene.copy.image, moving, truth, scene.copy.inside, options or {})


def _half_fixed(scene: Scene, options: Mapping[str, object]) -> Case:
    parts = [cropped(image, "S", (0.45, 1.0)) for image in (scene.copy.image, scene.copy.inside)]
    return Case("fixed: upper half", parts[0], scene.scan, scene.copy.truth, parts[1], options)


def _other_side(scene: Scene) -> Case:
    left = [cropped(image, "L", (0.5, 1.0)) for image in (scene.copy.image, scene.copy.inside)]
    right = cropped(scene.scan, "L", (0.0, 0.5))
    options = _centers_matched(left[0], right)
    return Case("left half from right half", left[0], right, scene.copy.truth, left[1], options)


def _centers_matched(fixed: sitk.Image, moving: sitk.Image) -> dict[str, object]:
    """Returns options that lay one volume on the other, as a search finds nothing better to do."""
    offset = Grid.from_image(moving).center - Grid.from_image(fixed).center
    return {"alignment": "none", "initial_transform": sitk.TranslationTransform(3, offset.tolist())}


def _thick(scene: Scene, thickness: float) -> tuple[float, float, float]:
    """Returns voxel sizes whose slices, across the body's long axis, have a thickness, mm."""
    grid = Grid.from_image(scene.scan)
    return tuple(
        thickness if code in "SI" else spacing
        for code, spacing in zip(grid.axis_codes, grid.spacing, strict=True)
    )
