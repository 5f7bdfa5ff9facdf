"""Label maps read once and brought to a common pose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.training.common_pose import common_poses
from SACBRegistrationLib.training.label_classes import BACKGROUND, CSF, compact

_CROP_MARGIN_MM = 12.0


@dataclass(frozen=True)
class LabelMap:
    """A label map of one head, cropped to the brain.

    Attributes:
        name: File name without its endings.
        classes: Compact classes, [D, H, W] uint8 in index order of the wanted axis codes; the outermost layer
            is background, so that clamped indices are background outside.
        spacing: Voxel size along D, H, W, mm.
        pose: [3, 4] affine that takes common coordinates (mm from the common brain's middle along D, H, W) to
            mm from the centre of the first voxel of `classes`.
    """

    name: str
    classes: np.ndarray
    spacing: tuple[float, float, float]
    pose: np.ndarray


def read_label_maps(paths: Sequence[Path], axes: str) -> list[LabelMap]:
    """Reads FreeSurfer-valued label maps and aligns them to each other by affine maps.

    Args:
        paths: Files of the label maps.
        axes: Axis codes of the arrays, such as "LIA"; see `Grid.axis_codes`.

    Returns:
        One LabelMap per path, in order.

    Raises:
        UserError: When there is no file, or one cannot be read, is not 3D, or holds no brain.
    """
    if not paths:
        raise UserError("There is no label map to train on; name a folder that holds some.")
    heads = [_read(Path(path), axes) for path in paths]
    poses = common_poses([classes for classes, _ in heads], [spacing for _, spacing in heads])
    return [
        LabelMap(Path(path).name.split(".")[0], classes, spacing, pose)
        for path, (classes, spacing), pose in zip(paths, heads, poses, strict=True)
    ]


def _read(path: Path, axes: str) -> tuple[np.ndarray, tuple[float, float, float]]:
    try:
        image = sitk.ReadImage(itk_path(path))
    except RuntimeError as error:
        raise UserError(f"The label map {path} cannot be read; check the file.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(f"The label map {path} is not a 3D volume of single numbers; give a 3D label map.")
    classes = sitk.GetImageFromArray(compact(sitk.GetArrayViewFromImage(image)))
    classes.CopyInformation(image)
    grid = Grid.from_image(image).reoriented(axes)
    array = sitk.GetArrayFromImage(grid.resample(classes, interpolator=sitk.sitkNearestNeighbor))
    array = array.transpose(2, 1, 0)
    brain = array > CSF
    if not brain.any():
        raise UserError(f"The label map {path} holds no FreeSurfer brain label; give whole-brain label maps.")
    box = tuple(
        _span(brain.any(axis=tuple({0, 1, 2} - {axis})), _CROP_MARGIN_MM / grid.spacing[axis])
        for axis in range(3)
    )
    return np.pad(array[box], 1, constant_values=BACKGROUND), grid.spacing


def _span(occupied: np.ndarray, margin: float) -> slice:
    places = np.flatnonzero(occupied)
    return slice(max(int(places[0] - margin), 0), int(places[-1] + margin) + 2)
