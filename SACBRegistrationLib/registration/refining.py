"""The pair at the resolutions of the refinement, and how it is compared there."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.network_grid import network_grid
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.registration.pair import PreparedImage
from SACBRegistrationLib.registration.refinement import RefinementLevel, RefinementSettings
from SACBRegistrationLib.settings import RegistrationSettings

_MARGIN_MM = 6.0
# Sides that the threads of most computers can share.
_STEP = 4
# Finest voxel size in units of the preset's spacing; each coarser level has twice the one before.
_FINEST = 1.5
# What the network leaves to do is small, what the alignment leaves is not.
_LEVELS_AFTER_NETWORK, _LEVELS_WITHOUT_NETWORK = 2, 3
# Factor on the voxel size until a grid fits into memory.
_COARSER = 1.2
# Images of one contrast correlate at about 0.9 once they are aligned, inverted ones below 0.
_LEAST_CORRELATION = 0.3


def refinement_spacings(
    settings: RegistrationSettings, preset: Preset, after_network: bool
) -> tuple[float, ...]:
    """Returns the voxel sizes of the refinement, mm, coarse to fine.

    Args:
        settings: `refine_spacing` is the finest; None takes 1.5 times the preset's spacing.
        preset: The preset.
        after_network: Whether a network's deformation is refined.
    """
    usual = _FINEST * preset.spacing
    finest = settings.refine_spacing or usual
    levels = _LEVELS_AFTER_NETWORK if after_network else _LEVELS_WITHOUT_NETWORK
    coarsest = usual * 2 ** (levels - 1)
    spacings = [finest]
    # A level that differs little from the coarsest would do its work again.
    while spacings[0] * 2 <= 1.2 * coarsest:
        spacings.insert(0, spacings[0] * 2)
    return tuple(spacings)


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
        most: Most voxels of a grid; a level that would have more is coarser, so that it holds all anatomy.
    """
    box = bounding_box(fixed.foreground)
    levels = []
    for spacing in spacings:
        grid = _grid_around(fixed.grid, box, spacing, axes, most)
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


def _grid_around(
    fixed: Grid, box: tuple[np.ndarray, np.ndarray], spacing: float, axes: str, most: int
) -> Grid:
    while True:
        placed = network_grid(fixed, box, (_STEP,) * 3, spacing, axes, most, spacing, _MARGIN_MM, _STEP)
        if not placed.clipped:
            return placed.grid
        spacing *= _COARSER


def chosen_similarity(name: str, coarsest: RefinementLevel) -> str:
    """Returns "ncc" or "mind" for the user's "auto", "ncc" or "mind".

    Squared local correlation serves equal and inverted contrasts, and beats self-similarity there; where
    intensities have neither in common, self-similarity is what is left.

    Args:
        name: The user's choice.
        coarsest: The aligned pair at the coarsest resolution.
    """
    if name != "auto":
        return name
    return "ncc" if abs(weighted_correlation(coarsest)) >= _LEAST_CORRELATION else "mind"


def weighted_correlation(level: RefinementLevel) -> float:
    """Returns Pearson's correlation of both images where similarity counts; 0 where it is undefined."""
    share = level.weight.double() / level.weight.sum().clamp(min=1)
    fixed, moving = (image - (image * share).sum() for image in (level.fixed.double(), level.moving.double()))
    spread = ((fixed.square() * share).sum() * (moving.square() * share).sum()).sqrt()
    return float((fixed * moving * share).sum() / spread) if float(spread) > 0 else 0.0


def refinement_settings(
    settings: RegistrationSettings, steps: int, coarsest: RefinementLevel
) -> RefinementSettings:
    """Returns how this pair is refined.

    Args:
        settings: The user's choices.
        steps: Most steps per resolution.
        coarsest: The aligned pair at the coarsest resolution.
    """
    similarity = chosen_similarity(settings.similarity, coarsest)
    chosen = RefinementSettings(steps=steps, smoothness=settings.smoothness, similarity=similarity)
    # Twelve channels take twelve times as long to sample.
    return replace(chosen, share_sampling=4) if similarity == "mind" else chosen
