"""Reading a folder that holds one DICOM series."""

import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError

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
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise UserError(
            f"{subject} is a folder without a DICOM series; give the file or the folder of one series."
        )
    if len(series) > 1:
        raise UserError(
            f"{subject} is a folder with {len(series)} DICOM series; "
            "put the wanted one into a folder of its own."
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    try:
        if len(files) == 1:
            return sitk.ReadImage(files[0])
        _check_positions(files, subject)
        return sitk.ReadImage(files)
    except RuntimeError as error:
        logger.debug("%s", error)
        raise UserError(
            f"{subject} cannot be read; a slice is damaged or differs in size from the others."
        ) from error


def _check_positions(files: tuple[str, ...], subject: str) -> None:
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
    if usual == 0 or abs(gaps - usual).max() > _GAP_TOLERANCE * abs(usual):
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
