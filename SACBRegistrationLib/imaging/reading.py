"""Reading volumes, label maps, masks and transforms from files, with one sentence when that fails."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.dicom import read_dicom_folder
from SACBRegistrationLib.imaging.dicom_header import check_dicom
from SACBRegistrationLib.imaging.file_claims import ClaimError, check_claim, check_plausible
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.imaging.linear import affine_part
from SACBRegistrationLib.imaging.meta_header import meta_claim
from SACBRegistrationLib.imaging.nifti_header import nifti_claim
from SACBRegistrationLib.imaging.nrrd_header import nrrd_claim
from SACBRegistrationLib.imaging.validation import (
    describe,
    validate_labels,
    validate_mask,
    validate_volume,
)

logger = logging.getLogger(__name__)

_TRANSFORM_SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat", ".xfm")
_UNKNOWN_FORMAT = (
    "it is damaged or in no format that SimpleITK knows (NIfTI, NRRD, MetaImage, DICOM folder, ...)"
)
_CLAIMS = {"NiftiImageIO": nifti_claim, "NrrdImageIO": nrrd_claim, "MetaImageIO": meta_claim}


def read_volume(path: str | Path, role: str) -> sitk.Image:
    """Reads a scalar volume: any format that SimpleITK reads, or a folder of one DICOM series.

    Args:
        path: File or folder.
        role: "fixed" or "moving", for the error sentences.

    Returns:
        The volume in the file's own number type, LPS mm; `validate_volume` accepts it.

    Raises:
        UserError: When the file is missing, unreadable or truncated, or the volume cannot be registered.
    """
    image = _read(path, describe(role, "image", str(path)))
    validate_volume(image, role, str(path))
    return image


def read_labels(path: str | Path, role: str) -> sitk.Image:
    """Reads a label map as `validate_labels` returns it.

    Args:
        path: File or folder.
        role: "fixed" or "moving", for the error sentences.

    Raises:
        UserError: When the file is missing, unreadable or truncated, or is no label map.
    """
    return validate_labels(_read(path, describe(role, "label map", str(path))), role, str(path))


def read_mask(path: str | Path, role: str, reference: sitk.Image | Grid) -> sitk.Image:
    """Reads a mask onto the grid of its image, as `validate_mask` returns it.

    Args:
        path: File or folder.
        role: "fixed" or "moving", for the error sentences.
        reference: The image that the mask belongs to, or its grid.

    Raises:
        UserError: When the file is missing, unreadable or truncated, or is no mask of this image.
    """
    return validate_mask(_read(path, describe(role, "mask", str(path))), role, reference, str(path))


def read_transform(path: str | Path) -> sitk.Transform:
    """Reads a transform that takes fixed points to moving points (LPS mm), ITK's convention.

    Args:
        path: An ITK transform (.tfm, .txt, .h5, .mat), or a displacement field (an image of 3-vectors in mm).

    Returns:
        The transform; a field as sitk.DisplacementFieldTransform.

    Raises:
        UserError: When the file is missing or unreadable, is not 3D, or its transform is not finite or
            singular.
    """
    subject = f"The initial transform ({path})"
    file = _existing(path, subject)
    if file.suffix.lower() in _TRANSFORM_SUFFIXES:
        transform = _read_itk_transform(file, subject)
    else:
        transform = _as_field_transform(_read(file, subject), subject)
    if transform.IsLinear():
        anywhere = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
        matrix = affine_part(transform, anywhere).matrix
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-3:
            raise UserError(f"{subject} cannot be inverted or is not finite; give another one.")
    return transform


def _read_itk_transform(file: Path, subject: str) -> sitk.Transform:
    try:
        with _captured_stderr():
            transform = sitk.ReadTransform(itk_path(file))
    except RuntimeError as error:
        logger.debug("%s", error)
        raise UserError(f"{subject} cannot be read; it is no ITK transform or damaged.") from error
    if transform.GetDimension() != 3:
        raise UserError(f"{subject} has {transform.GetDimension()} dimensions; it must have 3.")
    return transform


def _as_field_transform(field: sitk.Image, subject: str) -> sitk.Transform:
    if field.GetDimension() != 3 or field.GetNumberOfComponentsPerPixel() != 3:
        raise UserError(f"{subject} is no displacement field: it needs 3 dimensions and 3 values per voxel.")
    if not np.isfinite(sitk.GetArrayViewFromImage(field)).all():
        raise UserError(f"{subject} contains NaN or infinite displacements; give another one.")
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))


def _existing(path: str | Path, subject: str) -> Path:
    file = Path(path)
    try:
        file.stat()
    except PermissionError as error:
        raise UserError(f"{subject} may not be read; check the permissions of its folder.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{subject} does not exist; check the path.") from error
    if not os.access(file, os.R_OK):
        raise UserError(f"{subject} may not be read; check its permissions.")
    return file


def _read(path: str | Path, subject: str) -> sitk.Image:
    file = _existing(path, subject)
    reader = sitk.ImageFileReader()
    try:
        if file.is_dir():
            with _captured_stderr():
                return read_dicom_folder(file, subject)
        if file.stat().st_size == 0:
            raise UserError(f"{subject} is an empty file; copy it again.")
        with _captured_stderr():
            reader.SetFileName(itk_path(file))
            _check_claims(file, reader, subject)
            image = reader.Execute()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{subject} cannot be read ({reason}); check its disk and path.") from error
    except RuntimeError as error:
        logger.debug("%s", error)
        reason = _reason(str(error)) if file.exists() else "it went away while it was read, check its disk"
        raise UserError(f"{subject} cannot be read; {reason}.") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    return image


def _reason(message: str) -> str:
    if "Unable to determine ImageIO reader" in message:
        return _UNKNOWN_FORMAT
    if "orthonormal" in message:
        return "its axis directions are sheared (non-orthonormal), resample it to a right-angled grid first"
    return "it is truncated or damaged, copy it again"


def _check_claims(file: Path, reader: sitk.ImageFileReader, subject: str) -> None:
    """Has ITK read the header, once the header is known to say what is true of the file.

    Raises:
        UserError: When it is not, or its voxels lie in a file elsewhere.
        RuntimeError: When ITK cannot read it.
    """
    try:
        # GDCM reads all of a file to tell whether it can.
        check_dicom(file)
    except ClaimError as error:
        raise UserError(f"{subject} {error}.") from error
    # The same reader that the header is checked for reads the file.
    image_io = sitk.ImageFileReader.GetImageIOFromFileName(itk_path(file))
    if not image_io:
        raise UserError(f"{subject} cannot be read; {_UNKNOWN_FORMAT}.")
    reader.SetImageIO(image_io)
    claim_of = _CLAIMS.get(image_io)
    if claim_of is not None:
        try:
            claim = claim_of(file)
        except ClaimError as error:
            raise UserError(f"{subject} {error}.") from error
        check_claim(claim, subject)
    reader.ReadImageInformation()
    if claim_of is None:
        check_plausible(file, reader, subject)


@contextmanager
def _captured_stderr() -> Iterator[None]:
    """Sends what ITK's readers print about a bad file to the log; the error sentence says it better."""
    try:
        saved = os.dup(2)
    except OSError:  # a program without a console has no stderr
        yield
        return
    with tempfile.TemporaryFile() as sink:
        try:
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            if noise := sink.read().decode(errors="replace").strip():
                logger.debug("%s", noise)
