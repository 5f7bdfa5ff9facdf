"""Abdomens read from a CT scan and its TotalSegmentator label map: every voxel of the body gets a tissue."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional as F

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.training.abdomen_chest import with_chest
from SACBRegistrationLib.training.abdomen_classes import NUMBER, compact

SPACING_MM = 3.0
"""Voxel size of the read abdomens, TotalSegmentator's own for its fast model."""

_OUTER_HU, _FAT_HU, _BONE_HU = -300, -30, 140
_CLOSING = 10.0  # voxels
_BONES = ("vertebra", "rib", "pelvic bone")


@dataclass(frozen=True, eq=False)
class AbdomenMap:
    """An abdomen whose every voxel has a tissue.

    Attributes:
        name: File name without its endings.
        classes: Classes of `ABDOMEN_CLASSES`, [D, H, W] uint8; the outermost layer is air.
        spacing: Voxel size, mm, the same along all axes.
        middle: [3] mm from the centre of the first voxel to the origin of common coordinates: the middle of
            the body along D and H, of the upper abdominal organs along W.
        depth: Distance outside of the trunk's muscles, mm, [D, H, W] float32; 0 within.
    """

    name: str
    classes: np.ndarray
    spacing: float
    middle: np.ndarray
    depth: np.ndarray

    def extent(self, classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the [3] mean and deviation of classes in common coordinates, mm; None for none."""
        return _extent(self, classes)

    def depth_at(self, points: torch.Tensor) -> torch.Tensor:
        """Returns `depth` at common coordinates [3, D, H, W], mm, as [D, H, W]; the nearest value outside."""
        size = torch.tensor(self.classes.shape).reshape(3, 1, 1, 1)
        middle = torch.from_numpy(self.middle.astype(np.float32)).reshape(3, 1, 1, 1)
        place = (points + middle) / self.spacing * 2 / (size - 1) - 1
        place = place.flip(0).movedim(0, -1)[None]
        depth = torch.from_numpy(self.depth)[None, None]
        return F.grid_sample(depth, place, padding_mode="border", align_corners=True)[0, 0]

    @property
    def ends(self) -> tuple[float, float]:
        """Returns where the body begins and ends along W, mm in common coordinates."""
        return -float(self.middle[2]), (self.classes.shape[2] - 1) * self.spacing - float(self.middle[2])


@lru_cache(maxsize=64)
def _extent(abdomen: AbdomenMap, classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    places = np.argwhere(np.isin(abdomen.classes, classes)) * abdomen.spacing - abdomen.middle
    return (places.mean(axis=0), places.std(axis=0)) if len(places) else None


def read_abdomens(paths: Sequence[Path], axes: str) -> list[AbdomenMap]:
    """Reads label maps and the scans beside them.

    A label map is a file with "_seg" in its name; its scan is the file whose name is that up to "_seg",
    continued by "_ct". Other files are left alone.

    Args:
        paths: Files of a folder of scans and label maps.
        axes: Axis codes of the arrays, such as "LAS"; see `Grid.axis_codes`.

    Returns:
        One AbdomenMap per label map, in order.

    Raises:
        UserError: When there is no label map, a scan is missing, a file cannot be read, or a map holds no
            liver or its scan no body.
    """
    maps = [Path(path) for path in paths if "_seg" in Path(path).name]
    if not maps:
        raise UserError(
            "There is no abdominal label map; give a folder with NAME_ct.nii.gz and NAME_seg.nii.gz."
        )
    return [_read(path, _scan_of(path, paths), axes) for path in maps]


def _scan_of(path: Path, paths: Sequence[Path]) -> Path:
    stem = path.name.split("_seg")[0]
    for candidate in paths:
        if Path(candidate).name.split(".")[0] == f"{stem}_ct":
            return Path(candidate)
    raise UserError(f"The label map {path} has no scan beside it; put {stem}_ct.nii.gz into its folder.")


def _read(path: Path, scan_path: Path, axes: str) -> AbdomenMap:
    labels, scan = _image(path), _image(scan_path)
    grid = Grid.from_image(labels).reoriented(axes)
    # No centre lies beyond the outermost centres of the label map: a slice outside would be empty.
    size = tuple(int((n - 1) * s / SPACING_MM) + 1 for n, s in zip(grid.size, grid.spacing, strict=True))
    grid = Grid(size, (SPACING_MM,) * 3, grid.origin, grid.direction)
    classes = compact(_array(grid.resample(labels, interpolator=sitk.sitkNearestNeighbor)))
    if not (classes == NUMBER["liver"]).any():
        raise UserError(f"The label map {path} holds no liver of TotalSegmentator's classes; give abdomens.")
    scan = sitk.Median(sitk.Cast(scan, sitk.sitkFloat32), [1, 1, 1])
    intensities = _array(grid.resample(scan, default=-1000.0))
    classes = _filled(classes, intensities, path)
    classes = np.pad(with_chest(classes, SPACING_MM), 1)
    body = classes != NUMBER["air"]
    ends = [np.flatnonzero(body.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in (0, 1)]
    organs = np.isin(classes, [NUMBER[n] for n in ("liver", "spleen", "right kidney", "left kidney")])
    middle = np.array([*np.mean(ends, axis=1), np.argwhere(organs)[:, 2].mean()]) * SPACING_MM
    return AbdomenMap(path.name.split(".")[0], _detailed(classes), SPACING_MM, middle, _depth(classes))


def _image(path: Path) -> sitk.Image:
    try:
        image = sitk.ReadImage(itk_path(path))
    except RuntimeError as error:
        raise UserError(f"The file {path} cannot be read; check it.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(
            f"The file {path} is not a 3D volume of single numbers; give 3D scans and label maps."
        )
    return image


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def _filled(classes: np.ndarray, intensities: np.ndarray, path: Path) -> np.ndarray:
    """Gives the voxels of the body that have no label a tissue by their intensity, and the body a skin."""
    outer = sitk.GetImageFromArray(((intensities > _OUTER_HU) | (classes > 0)).astype(np.uint8))
    # Opened, so that a table that the back touches falls off.
    parts = sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(outer, [2, 2, 2]))
    body = sitk.GetArrayFromImage(sitk.RelabelComponent(parts) == 1)
    if not body.any():
        raise UserError(f"The scan of {path} shows no body; give CT in Hounsfield units.")
    body = _slices_filled(body)
    by_intensity = np.select(
        [intensities < _OUTER_HU, intensities < _FAT_HU, intensities < _BONE_HU],
        [NUMBER["gas"], NUMBER["fat"], NUMBER["soft tissue"]],
        NUMBER["rib"],
    )
    result = np.where(classes > 0, classes, by_intensity) * (body > 0)
    inner = sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(body), [1, 1, 0]))
    result[(body > 0) & (inner == 0)] = NUMBER["skin"]
    return result.astype(np.uint8)


def _detailed(classes: np.ndarray) -> np.ndarray:
    """Gives bones a cortex and kidneys a medulla: what lies near the surface, and what does not."""
    result = classes.copy()
    for name in _BONES:
        bone = classes == NUMBER[name]
        result[bone & ~_eroded(bone, 1)] = NUMBER["cortical bone"]
    for side in ("right", "left"):
        result[_eroded(classes == NUMBER[f"{side} kidney"], 3)] = NUMBER[f"{side} medulla"]
    return result


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(sitk.BinaryErode(image, [radius] * 3)) > 0


def _depth(classes: np.ndarray) -> np.ndarray:
    outer = np.isin(classes, [NUMBER[n] for n in ("air", "skin", "fat")])
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray((~outer).astype(np.uint8)))
    trunk = sitk.RelabelComponent(parts) == 1
    # Grown and shrunk back, which closes the wall around the organs and their fat.
    grown = sitk.SignedMaurerDistanceMap(trunk, squaredDistance=False, useImageSpacing=False) < _CLOSING
    filled = _slices_filled(sitk.GetArrayFromImage(grown))
    distance = sitk.SignedMaurerDistanceMap(
        sitk.GetImageFromArray(filled), squaredDistance=False, useImageSpacing=False
    )
    depth = (sitk.GetArrayFromImage(distance) + _CLOSING) * SPACING_MM
    return np.clip(depth, 0, None).astype(np.float32)


def _slices_filled(mask: np.ndarray) -> np.ndarray:
    """Returns a mask (uint8) whose holes in every axial slice are filled."""
    planes = [sitk.BinaryFillhole(sitk.GetImageFromArray(mask[:, :, k])) for k in range(mask.shape[2])]
    return np.stack([sitk.GetArrayFromImage(plane) for plane in planes], axis=2)
