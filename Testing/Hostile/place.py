"""Where a case is played: one folder for the file, and beside it what a hostile file must not reach."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SIZE = (7, 6, 5)
SECRET_VALUE = 23130
"""Every voxel of the volume that no hostile header may get at."""


@dataclass(frozen=True)
class Place:
    """The folders of a run of cases.

    Attributes:
        inside: Holds the hostile file and what belongs to it.
        secret: Raw file outside, as long as a volume of SIZE with int16 voxels, all of SECRET_VALUE.
        marker: A file that only code from a hostile file would make.
    """

    inside: Path
    secret: Path
    marker: Path


def make_place(folder: Path) -> Place:
    """Returns the place in an empty folder."""
    place = Place(folder / "inside", folder / "secret.raw", folder / "marker")
    place.inside.mkdir()
    place.secret.write_bytes(np.full(np.prod(SIZE), SECRET_VALUE, "<i2").tobytes() * 4)
    return place


def shows_secret(image: sitk.Image) -> bool:
    """Says whether a volume that was read holds the secret."""
    values = sitk.GetArrayViewFromImage(image)
    return bool(np.isin(values, (SECRET_VALUE, SECRET_VALUE.to_bytes(2, "little")[0])).mean() > 0.5)
