"""The pair as every stage sees it: checked, masked, with intensities in [0, 1]."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.evaluation.dice import common_labels
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.normalization import Normalization, foreground, normalize
from SACBRegistrationLib.imaging.validation import validate_labels, validate_mask, validate_volume
from SACBRegistrationLib.presets import Preset

# Anatomy so much smaller or larger than the preset's grid has a header in another unit than mm.
_LARGEST_RATIO = 20.0


@dataclass(frozen=True)
class PreparedImage:
    """One image of the pair.

    Attributes:
        image: As given.
        grid: Its grid.
        normalized: float32 in [0, 1] on its grid, 0 outside the mask.
        foreground: uint8, the anatomy (inside the mask) on its grid.
        mask: uint8 on its grid, or None.
        labels: Label map on any grid, or None.
    """

    image: sitk.Image
    grid: Grid
    normalized: sitk.Image
    foreground: sitk.Image
    mask: sitk.Image | None
    labels: sitk.Image | None


def prepare_image(
    image: sitk.Image,
    role: str,
    normalization: Normalization,
    mask: sitk.Image | None,
    labels: sitk.Image | None,
) -> PreparedImage:
    """Checks and normalises one image of the pair.

    Args:
        image: Any SimpleITK image.
        role: "fixed" or "moving", for error sentences.
        normalization: The preset's.
        mask: Where to look, or None.
        labels: Label map to evaluate with, or None.

    Raises:
        UserError: When one of them cannot be used; the sentence names it.
    """
    checked = validate_volume(image, role)
    mask = None if mask is None else validate_mask(mask, role, image)
    labels = None if labels is None else validate_labels(labels, role)
    anatomy = foreground(checked, normalization)
    if mask is not None:
        anatomy = sitk.And(anatomy, mask)
        if not sitk.GetArrayViewFromImage(anatomy).any():
            raise UserError(f"The {role} mask holds no anatomy; check that it belongs to the {role} image.")
    # Without a mask the anatomy is what percentiles are taken of; finding it twice would take as long again.
    inside = anatomy if mask is None and normalization.kind == "percentile" else mask
    normalized = normalize(checked, normalization, inside)
    return PreparedImage(image, Grid.from_image(image), normalized, anatomy, mask, labels)


def check_both_labels(fixed: sitk.Image | None, moving: sitk.Image | None) -> None:
    """Checks that label maps are given for both images or for none.

    Raises:
        UserError: When only one is given.
    """
    if (fixed is None) != (moving is None):
        missing = "moving" if moving is None else "fixed"
        raise UserError(f"The {missing} label map is missing; give label maps of both images or of none.")


def check_common_labels(fixed: PreparedImage, moving: PreparedImage) -> None:
    """Checks that label maps, where given, can be compared.

    Raises:
        UserError: When they have no label in common.
    """
    if fixed.labels is None or moving.labels is None:
        return
    if not common_labels(fixed.labels, moving.labels):
        raise UserError(
            "The fixed and the moving label map have no label in common; give maps that number the same "
            "structures alike, or none."
        )


def check_size(image: PreparedImage, role: str, preset: Preset) -> None:
    """Checks that the anatomy is of the order of size that the preset is for.

    At a thousandth of it nothing is left on the network's grid; at a thousand times no memory holds it.

    Args:
        image: The image.
        role: "fixed" or "moving", for the error sentence.
        preset: The preset.

    Raises:
        UserError: When the anatomy is more than 20 times smaller or larger than the preset's grid.
    """
    first, last = bounding_box(image.foreground)
    length = float(((last - first + 1) * np.asarray(image.grid.spacing)).max())
    expected = max(preset.size) * preset.spacing
    if not expected / _LARGEST_RATIO <= length <= expected * _LARGEST_RATIO:
        raise UserError(
            f"The anatomy in the {role} image is {length:.3g} mm long, but the preset {preset.name} is for "
            f"about {expected:.3g} mm; check the spacing in its header, or give another preset."
        )
