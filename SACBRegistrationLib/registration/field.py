"""The displacement field of a run, from what its stages found."""

import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.alignment import AlignmentResult
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.registration.inference import NetworkOutput
from SACBRegistrationLib.registration.refinement import Refined


def make_field(
    fixed: Grid,
    aligned: AlignmentResult,
    output: NetworkOutput | None,
    refined: Refined | None,
    preset: Preset,
    spacing: float | None,
) -> sitk.Image:
    """Returns alignment and deformation as one displacement field (LPS mm) over the fixed volume.

    Args:
        fixed: Grid of the fixed image.
        aligned: The alignment.
        output: What the network found, or None without one.
        refined: What the refinement found; it starts from the network's deformation and replaces it.
        preset: The preset, whose spacing a field without deformation takes.
        spacing: Of the field, mm; None takes the finest that is of use.
    """
    if refined is not None:
        displacement, grid = refined.displacement.cpu(), refined.grid
    elif output is not None:
        displacement, grid = output.displacement, output.grid
    else:
        grid = Grid((2, 2, 2), (preset.spacing,) * 3, tuple(fixed.center), fixed.direction)
        displacement = torch.zeros(1, 3, 2, 2, 2)
    return compose_displacement(displacement, grid, aligned.transform, fixed, spacing)
