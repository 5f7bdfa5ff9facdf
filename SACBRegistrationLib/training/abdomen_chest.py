"""A simple lower chest on top of an abdominal label map that ends below the diaphragm's dome."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.training.abdomen_classes import NUMBER

HEIGHT_MM = 105.0
"""Height of the added chest."""

_DOMES_MM = {"liver": 42.0, "stomach": 18.0, "spleen": 24.0}
_FAT_DOME_MM = 26.0
_TUBES = ("artery", "oesophagus", "vein")
_HEART_MM = (15.0, 35.0, 70.0)  # above the scan's end: lower end, level of half its width, upper end
_INNER = (
    "liver", "stomach", "spleen", "left lung", "right lung", "heart", "colon", "gallbladder", "pancreas",
    "small bowel", "oesophagus", "artery", "vein",
)  # fmt: skip


def with_chest(classes: np.ndarray, spacing: float) -> np.ndarray:
    """Returns the map with a chest added at the end of W.

    The chest wall mirrors the slices below; within it liver, stomach and spleen close as domes, the vessels
    go on, and lungs and a heart fill the rest. A map that ends above the liver is returned as it is.

    Args:
        classes: [D, H, W] uint8, W upwards.
        spacing: Voxel size, mm.
    """
    top = classes[:, :, -1]
    if not (top == NUMBER["liver"]).any():
        return classes
    cavity = _cavity(top)
    count = int(HEIGHT_MM / spacing)
    return np.concatenate(
        [classes, np.stack([_slice(classes, cavity, k, spacing) for k in range(1, count + 1)], axis=2)],
        axis=2,
    )


def _cavity(top: np.ndarray) -> np.ndarray:
    inner = np.isin(top, [NUMBER[name] for name in _INNER]).astype(np.uint8)
    closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(np.pad(inner, 20)), [14, 14])
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(closed))[20:-20, 20:-20] > 0


def _slice(classes: np.ndarray, cavity: np.ndarray, k: int, spacing: float) -> np.ndarray:
    top = classes[:, :, -1]
    walls = classes[:, :, -1 - k % (classes.shape[2] // 2)]
    spine = np.isin(walls, [NUMBER["vertebra"], NUMBER["spinal canal"]])
    organs = np.isin(walls, [NUMBER[name] for name in _INNER])
    result = np.where(organs, NUMBER["soft tissue"], walls)
    # Slices further down are wider than the chest: what lies outside the last slice's body stays air.
    result = np.where(top == NUMBER["air"], NUMBER["air"], result)
    result = np.where((result == NUMBER["air"]) & (top != NUMBER["air"]), top, result)
    inside = cavity & ~spine
    d, h = np.meshgrid(*(np.arange(n) for n in cavity.shape), indexing="ij")
    middle = np.argwhere(cavity).mean(axis=0)
    lungs = np.where(d > middle[0], NUMBER["left lung"], NUMBER["right lung"])
    result = np.where(inside, lungs, result)
    _add_heart(result, inside, middle, k * spacing, spacing)
    abdominal = cavity & ~np.isin(top, [NUMBER["left lung"], NUMBER["right lung"]])
    result[_shrunk(abdominal, _dome(k * spacing, _FAT_DOME_MM), d, h) & inside] = NUMBER["fat"]
    for name, dome in _DOMES_MM.items():
        shrunk = _shrunk(top == NUMBER[name], _dome(k * spacing, dome), d, h)
        result[shrunk & inside] = NUMBER[name]
    for name in _TUBES:
        result[(top == NUMBER[name]) & ~spine] = NUMBER[name]
    return result.astype(np.uint8)


def _dome(height: float, whole: float) -> float:
    """Returns the relative width of half an ellipsoid at some height."""
    return float(np.sqrt(max(1 - (height / whole) ** 2, 0)))


def _shrunk(mask: np.ndarray, factor: float, d: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Returns a mask scaled about its centroid."""
    if factor < 0.05 or not mask.any():
        return np.zeros_like(mask)
    middle = np.argwhere(mask).mean(axis=0)
    rows = np.clip(np.rint((d - middle[0]) / factor + middle[0]), 0, mask.shape[0] - 1).astype(int)
    columns = np.clip(np.rint((h - middle[1]) / factor + middle[1]), 0, mask.shape[1] - 1).astype(int)
    return mask[rows, columns]


def _add_heart(
    result: np.ndarray, inside: np.ndarray, middle: np.ndarray, height: float, spacing: float
) -> None:
    low, half, high = _HEART_MM
    if height <= low:
        return
    width = np.sqrt(min((height - low) / (half - low), 1)) if height < half else 1.0
    width *= 1 - 0.2 * max(height - high, 0) / high
    center = middle + np.array([15.0, 25.0]) / spacing
    d, h = np.meshgrid(*(np.arange(n) for n in inside.shape), indexing="ij")
    radii = np.array([58.0, 42.0]) * width / spacing
    heart = ((d - center[0]) / radii[0]) ** 2 + ((h - center[1]) / radii[1]) ** 2 < 1
    result[heart & inside] = NUMBER["heart"]
