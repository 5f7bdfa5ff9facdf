"""Between SimpleITK images and torch tensors [B, C, D, H, W] in (x, y, z) index order."""

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.arrays import array_to_image
from SACBRegistrationLib.imaging.grid import Grid


def image_to_tensor(image: sitk.Image) -> torch.Tensor:
    """Returns a scalar image as float32 [1, 1, D, H, W], a vector image as [1, C, D, H, W].

    D, H, W are the image's index axes x, y, z.
    """
    array = sitk.GetArrayFromImage(image)
    axes = (2, 1, 0) if array.ndim == 3 else (3, 2, 1, 0)
    tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(axes), dtype=np.float32))
    return tensor[None, None] if array.ndim == 3 else tensor[None]


def tensor_to_image(tensor: torch.Tensor, grid: Grid) -> sitk.Image:
    """Returns [1, 1, D, H, W] as a scalar image, or [1, C, D, H, W] as a vector image, on `grid`."""
    array = tensor.detach().cpu().numpy()[0]
    return array_to_image(array[0] if array.shape[0] == 1 else array, grid)
