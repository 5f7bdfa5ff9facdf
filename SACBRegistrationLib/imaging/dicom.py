"""Reading a folder that holds one DICOM series."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.dicom_header import DicomHeader, dicom_header
from SACBRegistrationLib.imaging.file_claims import ClaimError
from SACBRegistrationLib.imaging.itk_path import itk_path

logger = logging.getLogger(__name__)

# Scanners round slice positions; a missing slice doubles a gap.
_GAP_TOLERANCE = 0.05
# A stack that slides sideways by more than this part of its height comes from a tilted gantry: one degree,
# three millimetres over a head.
_SLIDE_TOLERANCE = 0.02


def read_dicom_folder(folder: Path, subject: str) -> sitk.Image:
    """Reads the one DICOM series in a folder, slices sorted by position.

    Args:
        folder: The folder; subfolders are not searched.
        subject: Subject of the error sentence.

    Returns:
        The volume, HU where the slices say how to rescale.

    Raises:
        UserError: When there is no series, there are several, slices are missing, repeated, damaged or
            shifted against each other (a tilted gantry), which the reader would straighten without a word.
    """
    damaged = UserError(f"{subject} cannot be read; a slice is damaged or differs in size from the others.")
    try:
        series = _series_of(folder)
    except ClaimError as error:
        logger.debug("%s", error)
        raise damaged from error
    if not series:
        raise UserError(
            f"{subject} is a folder without a DICOM series; give the file or the folder of one series."
        )
    if len(series) > 1:
        raise UserError(
            f"{subject} is a folder with {len(series)} DICOM series; "
            "put the wanted one into a folder of its own."
        )
    (slices,) = series.values()
    if not all(header.has_pixels for header in slices.values()):
        raise damaged
    files = _by_position(slices)
    try:
        if len(files) == 1:
            return sitk.ReadImage(files[0])
        _check_positions(files, subject)
        return sitk.ReadImage(files)
    except RuntimeError as error:
        logger.debug("%s", error)
        raise damaged from error


def _series_of(folder: Path) -> dict[str, dict[str, DicomHeader]]:
    """Returns the headers of every series by file, in the order of the names.

    GDCM would sort them as well, and would read every file of the folder without a look at it.
    """
    series: dict[str, dict[str, DicomHeader]] = {}
    for file in sorted(folder.iterdir()):
        header = dicom_header(file) if file.is_file() else None
        # A directory of the folder's files has neither.
        if header is not None and (header.series or header.has_pixels):
            series.setdefault(header.series, {})[itk_path(file)] = header
    return series


def _by_position(slices: Mapping[str, DicomHeader]) -> list[str]:
    """Returns the files along the normal of the first one; as they are where one has no position."""
    orientation = next(iter(slices.values())).orientation
    positions = [header.position for header in slices.values()]
    if orientation is None or None in positions:
        return list(slices)
    normal = np.cross(orientation[:3], orientation[3:])
    heights = dict(zip(slices, np.asarray(positions) @ normal, strict=True))
    return sorted(slices, key=heights.__getitem__)


def _check_positions(files: Sequence[str], subject: str) -> None:
    """Raises UserError unless the slices lie evenly, one at every position, straight above each other."""
    positions, normal = [], None
    reader = sitk.ImageFileReader()
    for file in files:
        reader.SetFileName(file)
        reader.ReadImageInformation()
        positions.append(reader.GetOrigin())
        if normal is None:
            normal = np.asarray(reader.GetDirection()).reshape(3, 3)[:, 2]
    steps = np.diff(np.asarray(positions), axis=0)
    gaps = steps @ normal
    usual = np.median(gaps)
    # A time series has most of its slices at one place.
    # Written so that what is no number is refused, too.
    if usual == 0 or not abs(gaps - usual).max() <= _GAP_TOLERANCE * abs(usual):
        raise UserError(
            f"{subject} has missing, repeated or unevenly spaced slices; "
            "export one complete volume of the series."
        )
    # Over the whole stack the rounding of positions does not add up.
    rise = steps.sum(axis=0)
    height = rise @ normal
    slide = float(np.linalg.norm(rise - height * normal) / abs(height))
    if slide > _SLIDE_TOLERANCE:
        degrees = np.degrees(np.arctan(slide))
        raise UserError(
            f"{subject} was taken with a gantry tilted by {degrees:.0f} degrees, so that its slices are "
            "shifted against each other; resample it to a right-angled grid first (dcm2niix does so)."
        )
