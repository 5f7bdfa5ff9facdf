"""A worker's arrays into VTK memory, some slices at a time, so that a window that waits stays alive."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vtk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.vtk_images import RAS_AXES, empty_image_data, image_data_to_array
from SACBRegistrationLib.worker.arrays import ArrayFile, read_steps


@dataclass(frozen=True)
class LoadedArray:
    """Voxels that no node holds yet.

    Attributes:
        data: The voxels; displacements are RAS mm.
        grid: Where they lie, LPS mm.
    """

    data: vtk.vtkImageData
    grid: Grid


def load_arrays(
    files: Mapping[str, ArrayFile], folder: Path
) -> Generator[None, None, dict[str, LoadedArray]]:
    """Reads arrays into VTK images; yields after every few slices.

    Args:
        files: Key to the array's file; arrays of three components are displacements, LPS mm.
        folder: Where the files lie.

    Returns:
        Key to the voxels.
    """
    loaded = {}
    for key, file in files.items():
        data = empty_image_data(file.shape, np.dtype(file.dtype))
        view = image_data_to_array(data)
        for slab in read_steps(file.path_in(folder), view):
            if view.ndim == 4:
                view[slab] *= RAS_AXES.astype(view.dtype)
            yield
        loaded[key] = LoadedArray(data, file.grid)
    return loaded
