"""Intensities to [0, 1], the range the network was trained on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.foreground import foreground_mask


@dataclass(frozen=True)
class Normalization:
    """How the intensities of one kind of image become [0, 1].

    Attributes:
        kind: "percentile" (MR, no unit): percentiles of the foreground become 0 and 1, the background 0.
            "window" (CT, HU): fixed values become 0 and 1.
        lower: Percentile in [0, 100] or intensity that becomes 0.
        upper: Percentile in [0, 100] or intensity that becomes 1.
    """

    kind: Literal["percentile", "window"]
    lower: float
    upper: float

    def __post_init__(self) -> None:
        """Refuses settings without meaning.

        Raises:
            ValueError: When the kind is unknown, the range is empty, or a percentile lies outside [0, 100].
        """
        if self.kind not in ("percentile", "window"):
            raise ValueError(f"normalization kind must be 'percentile' or 'window', not {self.kind!r}")
        if not self.lower < self.upper:
            raise ValueError(f"normalization needs lower < upper, not {self.lower} and {self.upper}")
        if self.kind == "percentile" and not (self.lower >= 0 and self.upper <= 100):
            raise ValueError(f"percentiles must lie in [0, 100], not {self.lower} and {self.upper}")

    @property
    def air_threshold(self) -> float | None:
        """Above this a voxel of a windowed image is no air: a quarter into the window (-500 HU)."""
        return self.lower + 0.25 * (self.upper - self.lower) if self.kind == "window" else None


def foreground(image: sitk.Image, normalization: Normalization) -> sitk.Image:
    """Returns the anatomy in an image as a uint8 mask of 0 and 1 on its grid; see `foreground_mask`."""
    return foreground_mask(image, normalization.air_threshold)


def normalize(image: sitk.Image, normalization: Normalization, mask: sitk.Image | None = None) -> sitk.Image:
    """Maps intensities linearly to [0, 1] and clips them.

    Args:
        image: 3D scalar image.
        normalization: The mapping.
        mask: uint8 mask of the foreground on the image's grid. None finds it for "percentile"; for "window"
            the whole image is kept.

    Returns:
        float32 image in [0, 1] on the same grid; 0 outside the mask.
    """
    if mask is None and normalization.kind == "percentile":
        mask = foreground(image, normalization)
    values = sitk.GetArrayViewFromImage(image)
    inside = None if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    low, high = float(normalization.lower), float(normalization.upper)
    if normalization.kind == "percentile":
        chosen = values[inside] if inside.any() else values.ravel()
        low, high = (float(v) for v in np.percentile(chosen, (low, high)))
        if not low < high:
            # A binary image has no spread between the percentiles of its foreground.
            low, high = float(values.min()), float(values.max())
    result = np.clip((values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    if inside is not None:
        result *= inside
    normalized = sitk.GetImageFromArray(result.astype(np.float32, copy=False))
    normalized.CopyInformation(image)
    return normalized
