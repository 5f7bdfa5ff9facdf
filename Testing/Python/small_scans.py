"""Small scans of heads with labels, as files of every kind that training reads."""

import csv
import pickle
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from small_heads import small_head

TURNS = {"atlas": 0.0, "a": 0.1, "b": -0.08, "c": 0.06, "d": -0.05}
EXTENT = (160.0, 160.0, 192.0)
QUICK_EXTENT = (128.0, 160.0, 192.0)
"""Half as many voxels at 8 mm, 16x32x32, for trainings whose result does not matter."""
SPACING = 8.0


def head(name: str) -> tuple[sitk.Image, sitk.Image]:
    """Returns a scan (float32, any unit) and its label map, on an anisotropic grid with axes LIA."""
    angle = TURNS[name]
    turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), angle, 0.0, angle, (20 * angle, 0.0, 0.0))
    labels = small_head(turn)
    values = sitk.GetArrayFromImage(labels)
    noise = np.random.default_rng(len(name) + ord(name[0])).standard_normal(values.shape)
    brain = (values > 0) & (values < 500)
    image = sitk.GetImageFromArray((brain * (200 + 17 * (values % 13) + 5 * noise)).astype(np.float32))
    image.CopyInformation(labels)
    return image, sitk.Cast(sitk.Mask(labels, labels < 500), sitk.sitkInt16)


def write_scans(folder: Path) -> None:
    """Writes NAME.nii.gz and NAME_labels.nii.gz of every head."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TURNS:
        image, labels = head(name)
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
        sitk.WriteImage(labels, str(folder / f"{name}_labels.nii.gz"))


def write_csv(path: Path, parts: dict[str, str], labelled: bool = True) -> Path:
    """Writes a split; `parts` takes names of scans to their parts."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "labels", "split"])
        for name, part in parts.items():
            writer.writerow([f"{name}.nii.gz", f"{name}_labels.nii.gz" if labelled else "", part])
    return path


def arrays(name: str, size: tuple[int, int, int] = (20, 20, 24)) -> tuple[np.ndarray, np.ndarray]:
    """Returns image in [0, 1] and labels of a head as published pickles hold them, axes LIA."""
    image, labels = head(name)
    grid = sitk.Image(*size, sitk.sitkFloat32)
    grid.SetSpacing([SPACING] * 3)
    grid.SetDirection(image.GetDirection())
    axes = np.reshape(image.GetDirection(), (3, 3))
    grid.SetOrigin([float(v) for v in -axes @ ((np.asarray(size) - 1) / 2 * SPACING)])
    image = sitk.GetArrayFromImage(sitk.Resample(image, grid)).transpose(2, 1, 0)
    nearest = sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    labels = sitk.GetArrayFromImage(nearest).transpose(2, 1, 0)
    return np.ascontiguousarray(image / image.max()), np.ascontiguousarray(labels)


def write_pickle(path: Path, content: object, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
