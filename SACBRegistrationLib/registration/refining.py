"""The pair at the resolutions of the refinement."""

import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.network_grid import network_grid
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.registration.pair import PreparedImage
from SACBRegistrationLib.registration.refinement import RefinementLevel

_MARGIN_MM = 6.0


def refinement_levels(
    fixed: PreparedImage,
    moving: PreparedImage,
    alignment: sitk.Transform,
    spacings: tuple[float, ...],
    axes: str,
    device: torch.device,
    most: int,
) -> list[RefinementLevel]:
    """Returns the pair on grids that fit closely around the fixed anatomy.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        alignment: Takes fixed points to moving points, LPS mm.
        spacings: Voxel size of every level, mm, coarse to fine.
        axes: Axis codes of the grids, as the network's.
        device: Where to compute.
        most: Most voxels of a grid.
    """
    box = bounding_box(fixed.foreground)
    levels = []
    for spacing in spacings:
        grid = network_grid(fixed.grid, box, (16, 16, 16), spacing, axes, most, spacing, _MARGIN_MM).grid
        weight = resample(sitk.Cast(fixed.foreground, sitk.sitkFloat32), grid)
        if moving.mask is not None:
            weight *= resample(sitk.Cast(moving.mask, sitk.sitkFloat32), grid, alignment)
        tensors = (
            image_to_tensor(image).to(device)
            for image in (
                resample(fixed.normalized, grid),
                resample(moving.normalized, grid, alignment),
                sitk.Cast(weight > 0.05, sitk.sitkFloat32),
            )
        )
        levels.append(RefinementLevel(grid, *tensors))
    return levels
