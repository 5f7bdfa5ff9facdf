"""What the other programs are given: the images as they are, or as a preset's network gets to see them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.comparison.pairs import Pair
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.presets import Preset


@dataclass(frozen=True)
class PeerInputs:
    """How images are prepared for the other programs; their time does not include it.

    Attributes:
        spacing: Voxel size, mm, that finer images are brought to; None leaves them.
        clip: Intensities are limited to this range; None leaves them.
    """

    spacing: float | None = None
    clip: tuple[float, float] | None = None


def peer_inputs(
    preset: Preset, spacing: float | None = None, clip: tuple[float, float] | None = None
) -> PeerInputs:
    """Returns what a preset asks for, overruled by what is given.

    A preset with a window of intensities (CT) clips to it and resamples to the preset's spacing, as its own
    network gets the images. Other images stay as they are.

    Args:
        preset: The preset.
        spacing: Voxel size, mm; 0 leaves the images'.
        clip: Range of intensities.

    Raises:
        UserError: When a value has no meaning.
    """
    window = preset.normalization.kind == "window"
    if spacing is None:
        spacing = preset.spacing if window else 0.0
    if clip is None and window:
        clip = (float(preset.normalization.lower), float(preset.normalization.upper))
    if spacing < 0:
        raise UserError(f"The spacing {spacing:g} mm is negative; give a positive one, or 0 for the images'.")
    if clip is not None and not clip[0] < clip[1]:
        raise UserError(f"The range {clip[0]:g} to {clip[1]:g} is empty; give the lower value first.")
    return PeerInputs(spacing or None, clip)


def write_peer_images(pair: Pair, inputs: PeerInputs, folder: Path) -> dict[str, str]:
    """Writes both images of a pair as the other programs get them.

    Args:
        pair: The pair.
        inputs: How to prepare the images.
        folder: Where to.

    Returns:
        Paths of uncompressed NIfTI files, float32: "fixed", "moving", and "reference", on the fixed image's
        own grid.

    Raises:
        UserError: When an image cannot be read.
    """
    files = {}
    for role in ("fixed", "moving"):
        image = sitk.Cast(read_volume(getattr(pair, role), role), sitk.sitkFloat32)
        if inputs.clip is not None:
            image = sitk.Clamp(image, sitk.sitkFloat32, *inputs.clip)
        grid = peer_grid(Grid.from_image(image), inputs.spacing)
        if grid != Grid.from_image(image):
            if role == "fixed":
                files["reference"] = str(folder / "reference.nii")
                sitk.WriteImage(image, files["reference"])
            # Voxels that reach beyond the image get what lies at its border, not air.
            image = resample(_extended(image), grid)
        files[role] = str(folder / f"{role}.nii")
        sitk.WriteImage(image, files[role])
    return {"reference": files["fixed"], **files}


def peer_grid(grid: Grid, spacing: float | None) -> Grid:
    """Returns a grid on the same axes that covers the same volume, its voxels at least `spacing` mm long."""
    if spacing is None:
        return grid
    old = np.asarray(grid.spacing)
    new = np.where(old < spacing - 1e-3, spacing, old)
    size = np.ceil(grid.extent / new - 1e-3).astype(int)
    # Both volumes begin at the same voxel edge.
    origin = grid.to_lps((new / old - 1) / 2)
    return Grid(
        tuple(int(n) for n in size),
        tuple(float(s) for s in new),
        tuple(float(v) for v in origin),
        grid.direction,
    )


def _extended(image: sitk.Image) -> sitk.Image:
    margin = (4, 4, 4)
    return sitk.ZeroFluxNeumannPad(image, margin, margin)
