"""Real scans at reduced size with a copy whose true transform is known, for tests of hard inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import SimpleITK as sitk
from Benchmarks.altered import transform_errors
from Benchmarks.hard_cases import ABDOMEN, BRAIN, Kind, Scene, make_scene
from shared_data import require_shared

from SACBRegistrationLib import register
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.presets import load_preset

_BRAIN, _ABDOMEN = "brain-oasis/1007_t1.nii.gz", "abdomen-totalsegmentator/example_ct.nii.gz"


@dataclass(frozen=True)
class Found:
    """What a run gave.

    Attributes:
        error: Mean distance from the truth, mm.
        verdict: The self-check's.
        report: The report.
        transform: The transform, fixed to moving points.
    """

    error: float
    verdict: str
    report: Mapping[str, object]
    transform: sitk.Transform


@cache
def brain_scene() -> Scene:
    return _scene(_BRAIN, _ABDOMEN, BRAIN)


@cache
def abdomen_scene() -> Scene:
    return _scene(_ABDOMEN, _BRAIN, ABDOMEN)


def _scene(name: str, stranger: str, kind: Kind) -> Scene:
    images = [read_volume(require_shared(f"data/{file}"), "moving") for file in (name, stranger)]
    return make_scene(*images, kind, load_preset(kind.preset), seed=7)


def start_near(scene: Scene, mm: float = 3.0) -> sitk.Transform:
    """Returns the true affine map, some millimetres off: what a good alignment finds, at no cost."""
    off = sitk.TranslationTransform(3, (0.6 * mm, -0.8 * mm, 0.0))
    return sitk.CompositeTransform([scene.copy.truth.GetNthTransform(0), off])


def run(
    kind: Kind,
    fixed: sitk.Image,
    moving: sitk.Image,
    truth: sitk.Transform,
    inside: sitk.Image,
    **options: object,
) -> Found:
    """Registers without a network and measures over `inside`, as far as the moving volume holds it."""
    chosen = {"preset": kind.preset, "device": "cpu", **kind.options, **options}
    result = register(fixed, moving, **chosen)
    everywhere = sitk.Image(moving.GetSize(), sitk.sitkUInt8) + 1
    everywhere.CopyInformation(moving)
    held = Grid.from_image(inside).resample(everywhere, truth, sitk.sitkNearestNeighbor)
    visible = sitk.And(sitk.Cast(inside != 0, sitk.sitkUInt8), held)
    error = float(np.mean(transform_errors(result.transform, truth, visible)))
    check = result.report["self_check"]
    return Found(error, check["verdict"], result.report, result.transform)
