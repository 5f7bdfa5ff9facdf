"""The pairs that are shown, how they are registered and what may be done with their pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.phantom import make_phantom_pair
from SACBRegistrationLib.imaging.phantom_transform import KnownTransform, rotation
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.register import register

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SOFT_TISSUE_HU = (-160.0, 240.0)
_AIR_HU = -500.0
_CT = "abdomen-totalsegmentator/example_ct.nii.gz"


@dataclass(frozen=True)
class Case:
    """A pair of images and how to show it.

    Attributes:
        name: Start of the file names.
        title: What the pair is.
        credit: Source and licence of the images.
        preset: Preset to register with.
        load: Returns the fixed and the moving image.
        files: What must be there, relative to the shared folder.
        publishable: Whether the licence allows to publish pictures of warped images.
        window: Lowest and highest intensity shown; None takes those of each image.
        pictures: Names of the pictures to make; None makes all.
        offset: From the middle of the anatomy to the point shown, LPS mm.
    """

    name: str
    title: str
    credit: str
    preset: str
    load: Callable[[], tuple[sitk.Image, sitk.Image]]
    files: tuple[str, ...] = ()
    publishable: bool = True
    window: tuple[float, float] | None = None
    pictures: tuple[str, ...] | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def air(self) -> float | None:
        """Intensity below which a CT shows air; None for other images."""
        return None if self.window is None else _AIR_HU

    @property
    def missing(self) -> list[str]:
        """Files that are not there."""
        return [name for name in self.files if not (SHARED / name).exists()]


@dataclass(frozen=True)
class RegisteredCase:
    """A registered pair.

    Attributes:
        case: The pair.
        fixed: Fixed image.
        moving: Moving image as scanned.
        aligned: Moving image on the fixed voxels after the affine alignment alone.
        warped: Moving image on the fixed voxels after the registration.
        deformation: Displacements d, mm LPS, of T(x) = A(x + d(x)), A the affine alignment.
        cluster_maps: (level, role) to label image, in the fixed image's place.
        clusters: Number of clusters; 0 without a network.
        usual: Median length of the deformation in the anatomy, mm.
        largest: Length that one percent of the anatomy exceeds, mm.
        low: Low corner of the box around the fixed anatomy, LPS mm.
        high: Its high corner.
    """

    case: Case
    fixed: sitk.Image
    moving: sitk.Image
    aligned: sitk.Image
    warped: sitk.Image
    deformation: sitk.Image
    cluster_maps: dict
    clusters: int
    usual: float
    largest: float
    low: np.ndarray
    high: np.ndarray


def register_case(case: Case) -> RegisteredCase:
    """Registers a pair with its preset and refinement."""
    fixed, moving = case.load()
    result = register(fixed, moving, case.preset, refine=load_preset(case.preset).refine_steps)
    background = float(sitk.GetArrayViewFromImage(moving).min())
    aligned = warp_volume(moving, result.alignment, Grid.from_image(fixed), default=background)
    deformation = without_alignment(result.displacement_field, result.alignment)
    mask = foreground_mask(fixed, case.air)
    anatomy = Grid.from_image(deformation).resample(mask, None, sitk.sitkNearestNeighbor)
    lengths = np.linalg.norm(sitk.GetArrayViewFromImage(deformation), axis=-1)
    lengths = lengths[sitk.GetArrayFromImage(anatomy) > 0]
    low, high = anatomy_box(mask)
    maps = dict(result.cluster_maps)
    return RegisteredCase(
        case=case,
        fixed=fixed,
        moving=moving,
        aligned=aligned,
        warped=result.warped,
        deformation=deformation,
        cluster_maps=maps,
        clusters=max((int(sitk.GetArrayViewFromImage(image).max()) for image in maps.values()), default=0),
        usual=float(np.median(lengths)),
        largest=float(np.percentile(lengths, 99)),
        low=low,
        high=high,
    )


def without_alignment(displacement_field: sitk.Image, alignment: sitk.Transform) -> sitk.Image:
    """Returns d with A(x + d(x)) = x + u(x), for an affine A."""
    back = alignment.GetInverse()
    shift = np.array(back.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.stack([np.array(back.TransformPoint(tuple(e))) - shift for e in np.eye(3)], axis=1)
    grid = Grid.from_image(displacement_field)
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    points = sitk.GetArrayFromImage(source)
    reached = points + sitk.GetArrayViewFromImage(displacement_field)
    deformation = sitk.GetImageFromArray(
        (reached @ matrix.T + shift - points).astype(np.float32), isVector=True
    )
    deformation.CopyInformation(displacement_field)
    return deformation


def anatomy_box(mask: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners of the box around a mask along the world's axes, LPS mm."""
    voxels = np.argwhere(sitk.GetArrayFromImage(mask)[::3, ::3, ::3])[:, ::-1] * 3
    return tuple(np.percentile(Grid.from_image(mask).to_lps(voxels), (0.05, 99.95), axis=0))


def _phantom() -> tuple[sitk.Image, sitk.Image]:
    pair = make_phantom_pair(landmarks=1)
    return pair.fixed, pair.moving


def _deformed_ct() -> tuple[sitk.Image, sitk.Image]:
    """Returns a CT and a copy of it on the same voxels, moved and deformed by a known transform."""
    fixed = sitk.Cast(sitk.ReadImage(str(SHARED / _CT)), sitk.sitkFloat32)
    grid = Grid.from_image(fixed)
    turn = rotation(np.array([0.4, 0.2, 1.0]), 5.0)
    # As breathing does it: up and down most, forwards less, over wide parts of the trunk.
    generator = np.random.default_rng(4)
    truth = KnownTransform(
        matrix=turn,
        offset=grid.center - turn @ grid.center + np.array([9.0, -14.0, 6.0]),
        centers=grid.center + generator.normal(size=(5, 3)) * (60.0, 40.0, 80.0),
        heights=generator.normal(size=(5, 3)) * (3.0, 7.0, 12.0),
        widths=generator.uniform(50.0, 70.0, 5),
    )
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    points = sitk.GetArrayFromImage(source)
    back = sitk.GetImageFromArray(truth.to_fixed(points.reshape(-1, 3)).reshape(points.shape) - points, True)
    back.CopyInformation(fixed)
    return fixed, warp_volume(fixed, back, grid, default=-1024.0)


def _shared(fixed: str, moving: str) -> dict:
    return {
        "load": lambda: tuple(sitk.ReadImage(str(SHARED / name)) for name in (fixed, moving)),
        "files": (fixed, moving),
    }


CASES = (
    Case(
        "phantom",
        "Two procedural heads (the sample pair)",
        "Made by this project; no patient data.",
        "ixi",
        _phantom,
    ),
    Case(
        "brain",
        "T1-weighted brains of two adults, OASIS 1000 from 1001",
        "Scans: OASIS project, MICCAI 2012 challenge, CC BY-NC; changed by registration.",
        "ixi",
        **_shared("brain-oasis/1000_t1.nii.gz", "brain-oasis/1001_t1.nii.gz"),
    ),
    Case(
        "ct",
        "CT of a trunk and a copy of it with a known deformation",
        "Scan: TotalSegmentator's example, Apache-2.0; changed by deformation and registration.",
        "abdomen-ct",
        _deformed_ct,
        (_CT,),
        window=SOFT_TISSUE_HU,
        pictures=("overlay", "grid", "before_after"),
    ),
    Case(
        "abdomen",
        "Contrast CT of two patients, 3D-IRCADb 7 from 17",
        "Scans: IRCAD, 3D-IRCADb-01, CC BY-NC-ND 4.0; do not publish.",
        "abdomen-ct",
        **_shared("abdomen-ircad/ircad07_ct.nii.gz", "abdomen-ircad/ircad17_ct.nii.gz"),
        publishable=False,
        window=SOFT_TISSUE_HU,
    ),
)
