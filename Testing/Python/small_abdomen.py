"""CT scans and label maps of simple abdomens, small enough to synthesise from in a test."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

# (TotalSegmentator value, HU, centre and radii in mm along left, posterior, superior from the body's middle)
PARTS = [
    (0, -100, (0, 0, 0), (140, 105, 400)),
    (0, 55, (0, 0, 0), (120, 85, 400)),
    (0, -105, (0, -8, 0), (108, 72, 400)),
    (5, 105, (-50, -10, 45), (52, 50, 40)),
    (1, 118, (75, 30, 45), (22, 24, 28)),
    (2, 170, (-50, 42, -15), (18, 18, 34)),
    (3, 172, (50, 42, -10), (18, 18, 34)),
    (6, 30, (40, -30, 35), (30, 28, 24)),
    (18, 35, (0, -30, -50), (50, 30, 22)),
    (20, -10, (70, -10, -40), (16, 20, 34)),
    (52, 150, (6, 35, 0), (10, 10, 400)),
    (63, 135, (-18, 32, 0), (11, 9, 400)),
    (29, 210, (0, 62, 0), (22, 18, 400)),
    (86, 57, (38, 72, 0), (26, 12, 400)),
    (87, 57, (-38, 72, 0), (26, 12, 400)),
]
OBLIQUE_LPS = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.12, -0.08, 0.15).GetMatrix()


def small_abdomen(
    size: tuple[int, int, int] = (96, 86, 62),
    spacing: tuple[float, float, float] = (3.2, 3.0, 3.6),
    direction: tuple[float, ...] = OBLIQUE_LPS,
    lift: float = 0.0,
) -> tuple[sitk.Image, sitk.Image]:
    """Returns a scan (float32, HU) and its label map (uint8); the body lies along the image's axes.

    `lift` moves the organs up by so many mm: beyond about 30 the scan cuts the liver.
    """
    index = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij"), axis=-1)
    points = index * np.asarray(spacing) - (0, 0, lift)
    labels, scan = np.zeros(size, dtype=np.uint8), np.full(size, -1000.0, dtype=np.float32)
    for value, units, center, radii in PARTS:
        inside = (((points - center) / np.asarray(radii, dtype=float)) ** 2).sum(axis=-1) < 1
        labels[inside], scan[inside] = value, units
    # A table that touches nothing.
    scan[:, -3:, :] = 40
    return tuple(_image(array, spacing, direction) for array in (scan, labels))


def write_small_abdomen(folder: Path, name: str = "one", **kwargs) -> list[Path]:
    """Writes NAME_ct.nii.gz and NAME_seg.nii.gz and returns their paths."""
    paths = [folder / f"{name}_{kind}.nii.gz" for kind in ("ct", "seg")]
    for path, image in zip(paths, small_abdomen(**kwargs), strict=True):
        sitk.WriteImage(image, str(path))
    return paths


def _image(array: np.ndarray, spacing, direction) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin((11.0, -7.0, 23.0))
    return image
