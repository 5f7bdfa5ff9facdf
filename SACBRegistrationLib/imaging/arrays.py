"""From arrays in (x, y, z) index order to SimpleITK images; needs no torch, which Slicer comes without."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid


def array_to_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """Returns [D, H, W] or [C, D, H, W] in (x, y, z) order as an image on `grid`, of the same number type."""
    vector = array.ndim == 4
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array.transpose(3, 2, 1, 0) if vector else array.transpose(2, 1, 0)),
        isVector=vector,
    )
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image
