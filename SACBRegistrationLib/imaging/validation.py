"""Which images the registration accepts, and one clear sentence about any other."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid

MIN_SIZE = 4
"""Fewest voxels along an axis; SimpleITK's filters need as many."""

# Scanners and file formats round direction cosines; 1e-3 is a quarter of a millimetre over a head.
_ORTHONORMAL_TOLERANCE = 1e-3

_INTEGER_TYPES = frozenset(
    (
        sitk.sitkUInt8,
        sitk.sitkInt8,
        sitk.sitkUInt16,
        sitk.sitkInt16,
        sitk.sitkUInt32,
        sitk.sitkInt32,
        sitk.sitkUInt64,
        sitk.sitkInt64,
    )
)
_FLOAT_TYPES = frozenset((sitk.sitkFloat32, sitk.sitkFloat64))


def describe(role: str, what: str, source: str | None = None) -> str:
    """Returns the subject of an error sentence, such as "The fixed image (scan.nrrd)"."""
    return f"The {role} {what}" + (f" ({source})" if source else "")


def validate_volume(image: sitk.Image, role: str, source: str | None = None) -> sitk.Image:
    """Checks that an image can be registered.

    Args:
        image: Any SimpleITK image.
        role: "fixed" or "moving", for the error sentence.
        source: Name of its file, for the error sentence.

    Returns:
        The image as float32 on the same grid: 3D, scalar, finite, not constant, orthonormal directions
        (either hand), at least MIN_SIZE voxels along every axis.

    Raises:
        UserError: When it is none of that, naming the role and the reason.
    """
    subject = describe(role, "image", source)
    _check_structure(image, subject)
    _check_geometry(image, subject)
    result = image if image.GetPixelID() == sitk.sitkFloat32 else sitk.Cast(image, sitk.sitkFloat32)
    values = sitk.GetArrayViewFromImage(result)
    low, high = float(values.min()), float(values.max())
    # The extremes of an array are NaN as soon as one value is, so no mask of the whole volume is needed.
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(f"{subject} contains NaN or infinite voxels; replace them with the background value.")
    if low == high:
        raise UserError(f"{subject} is empty: every voxel has the value {low:g}.")
    return result


def validate_labels(image: sitk.Image, role: str, source: str | None = None) -> sitk.Image:
    """Checks a label map; it may lie on any grid.

    Args:
        image: Any SimpleITK image; whole numbers stored as floating point are accepted.
        role: "fixed" or "moving", for the error sentence.
        source: Name of its file, for the error sentence.

    Returns:
        The label map with an integer pixel type, on the same grid.

    Raises:
        UserError: When it is not 3D and scalar, holds fractions, NaN or infinity, or nothing but 0.
    """
    subject = describe(role, "label map", source)
    return _validated_labels(image, subject)


def validate_mask(
    image: sitk.Image, role: str, reference: sitk.Image | Grid, source: str | None = None
) -> sitk.Image:
    """Checks a mask and puts it on the grid of its image.

    Args:
        image: Any label map; every voxel but 0 belongs to the mask. It may lie on another grid.
        role: "fixed" or "moving", for the error sentence.
        reference: The image that the mask belongs to, or its grid.
        source: Name of its file, for the error sentence.

    Returns:
        uint8 image of 0 and 1 on the reference's grid (nearest neighbour).

    Raises:
        UserError: When it is not a 3D label map, is empty, or lies outside the image.
    """
    subject = describe(role, "mask", source)
    mask = sitk.Cast(sitk.NotEqual(_validated_labels(image, subject), 0), sitk.sitkUInt8)
    grid = reference if isinstance(reference, Grid) else Grid.from_image(reference)
    mask = grid.resample(mask, interpolator=sitk.sitkNearestNeighbor)
    if not sitk.GetArrayViewFromImage(mask).any():
        raise UserError(f"{subject} does not overlap the {role} image; check that it belongs to it.")
    return mask


def _validated_labels(image: sitk.Image, subject: str) -> sitk.Image:
    _check_structure(image, subject)
    _check_geometry(image, subject, min_size=1)
    values = sitk.GetArrayViewFromImage(image)
    if image.GetPixelID() not in _INTEGER_TYPES:
        if not np.isfinite(values).all():
            raise UserError(f"{subject} contains NaN or infinite voxels; replace them with 0.")
        if (values != np.rint(values)).any():
            raise UserError(f"{subject} contains fractions; labels must be whole numbers.")
        if abs(values).max() >= 2**31:
            raise UserError(f"{subject} contains labels beyond 32-bit integers; renumber them.")
        image = sitk.Cast(image, sitk.sitkInt32)
    if not values.any():
        raise UserError(f"{subject} is empty: every voxel is 0.")
    return image


def _check_structure(image: sitk.Image, subject: str) -> None:
    dimension = image.GetDimension()
    if dimension != 3:
        raise UserError(f"{subject} has {dimension} dimensions; only single 3D volumes can be registered.")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(
            f"{subject} has {image.GetNumberOfComponentsPerPixel()} values per voxel (colour or vector); "
            "only volumes with one value per voxel can be registered."
        )
    if image.GetPixelID() not in _INTEGER_TYPES | _FLOAT_TYPES:
        raise UserError(
            f"{subject} holds {image.GetPixelIDTypeAsString()} voxels; "
            "only whole or floating-point numbers can be registered."
        )


def _check_geometry(image: sitk.Image, subject: str, min_size: int = MIN_SIZE) -> None:
    size = image.GetSize()
    if min(size) < min_size:
        raise UserError(
            f"{subject} has {' x '.join(map(str, size))} voxels; every axis needs at least {min_size}"
            + (" (give the folder of a DICOM series, not one slice)." if min(size) == 1 else ".")
        )
    geometry = np.concatenate([image.GetSpacing(), image.GetOrigin(), image.GetDirection()])
    if not np.isfinite(geometry).all() or min(image.GetSpacing()) <= 0:
        raise UserError(f"{subject} has an invalid spacing, origin or direction; repair its header.")
    axes = np.asarray(image.GetDirection()).reshape(3, 3)
    # No entry of such axes is above 1, and products of huge ones overflow with a warning.
    if abs(axes).max() > 2 or abs(axes.T @ axes - np.eye(3)).max() > _ORTHONORMAL_TOLERANCE:
        raise UserError(
            f"{subject} has sheared (non-orthonormal) axis directions; "
            "resample it to a right-angled grid first."
        )
