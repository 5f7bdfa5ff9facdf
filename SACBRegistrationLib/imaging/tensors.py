"""Between NumPy arrays, SimpleITK images and torch tensors; of images [B, C, D, H, W] in (x, y, z) order.

Tensors and arrays share memory through DLPack. PyTorch's own way, from_numpy and numpy(), is not there with
every NumPy: the last PyTorch for Intel processors on macOS, 2.2, knows NumPy 1 alone, and Slicer 5.10 for
macOS, which is built for these processors, brings NumPy 2.
"""

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.arrays import array_to_image
from SACBRegistrationLib.imaging.grid import Grid


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Returns an array as a tensor, in the same memory where that is contiguous and may be written."""
    return torch.from_dlpack(np.require(array, requirements=("C_CONTIGUOUS", "WRITEABLE")))


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Returns a tensor as an array that may only be read, in the same memory where that is the CPU's."""
    array = np.from_dlpack(tensor.detach().cpu())
    # Whether it could be written depends on the versions.
    array.flags.writeable = False
    return array


def image_to_tensor(image: sitk.Image) -> torch.Tensor:
    """Returns a scalar image as float32 [1, 1, D, H, W], a vector image as [1, C, D, H, W].

    D, H, W are the image's index axes x, y, z.
    """
    array = sitk.GetArrayFromImage(image)
    axes = (2, 1, 0) if array.ndim == 3 else (3, 2, 1, 0)
    tensor = to_tensor(np.ascontiguousarray(array.transpose(axes), dtype=np.float32))
    return tensor[None, None] if array.ndim == 3 else tensor[None]


def tensor_to_image(tensor: torch.Tensor, grid: Grid) -> sitk.Image:
    """Returns [1, 1, D, H, W] as a scalar image, or [1, C, D, H, W] as a vector image, on `grid`."""
    array = to_array(tensor)[0]
    return array_to_image(array[0] if array.shape[0] == 1 else array, grid)
