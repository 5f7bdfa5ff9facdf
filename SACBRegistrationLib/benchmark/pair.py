"""What the benchmark computes on: a pair as files for the command, and as the network sees it."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment import align
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.network_grid import network_grid
from SACBRegistrationLib.imaging.phantom import make_phantom_pair
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.network import load_checkpoint, save_checkpoint
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.registration.pair import PreparedImage, prepare_image

_MARGIN_MM = 2.0
# What makes a checkpoint run at the resolution it was trained at instead of the preset's, or more than once.
_RECORDED = ("spacing_mm", "extent_mm", "axes", "grid_size", "symmetric_passes")


@dataclass(frozen=True)
class BenchmarkPair:
    """The pair, ready for every measurement.

    Attributes:
        fixed: File of the fixed image.
        moving: File of the moving image.
        inputs: NumPy file with fixed and moving [D, H, W] float32 in [0, 1], as the network gets them.
        preset: Preset file whose grid has the wanted size and holds the fixed anatomy.
        spacing: Voxel size of that grid, mm.
    """

    fixed: Path
    moving: Path
    inputs: Path
    preset: Path
    spacing: float


def write_pair(
    paths: tuple[Path, Path] | None, preset: Preset, size: tuple[int, int, int], folder: Path
) -> BenchmarkPair:
    """Reads or makes the pair and writes into a folder what the measurements need.

    Args:
        paths: Fixed and moving image; None takes the bundled phantom.
        preset: Says how intensities and axes are treated.
        size: Voxels of the network's grid; multiples of 16.
        folder: Written to.

    Raises:
        UserError: When an image cannot be used.
    """
    fixed_path, moving_path = paths or _phantom(folder)
    fixed, moving = (
        prepare_image(read_volume(path, role), role, preset.normalization, None, None)
        for role, path in (("fixed", fixed_path), ("moving", moving_path))
    )
    spacing = _spacing(fixed, preset, size)
    box = bounding_box(fixed.foreground)
    grid = network_grid(
        fixed.grid, box, size, spacing, preset.axes, int(np.prod(size)), margin=_MARGIN_MM
    ).grid
    aligned = align(
        fixed.normalized, moving.normalized, "affine",
        fixed_foreground=fixed.foreground, moving_foreground=moving.foreground,
    )  # fmt: skip
    # SimpleITK's arrays are [z, y, x].
    arrays = {
        "fixed": sitk.GetArrayFromImage(resample(fixed.normalized, grid)).T,
        "moving": sitk.GetArrayFromImage(resample(moving.normalized, grid, aligned.transform)).T,
    }
    inputs = folder / "inputs.npz"
    np.savez(inputs, **arrays)
    sized = folder / "preset.json"
    values = asdict(replace(preset, size=size, spacing=spacing, name="benchmark", weights=None))
    sized.write_text(json.dumps(values), encoding="utf-8")
    return BenchmarkPair(fixed_path, moving_path, inputs, sized, spacing)


def write_weights(preset: Preset, folder: Path) -> Path | None:
    """Writes the preset's weights without the grid they were trained on; None when the preset has none.

    Without it they run on the preset's grid, as weights that were trained there will.
    """
    source = preset.weights_path
    if source is None or not source.is_file():
        return None
    network = load_checkpoint(source)
    info = {key: value for key, value in network.info.items() if key not in (*_RECORDED, "format")}
    path = folder / "weights.pt"
    save_checkpoint(path, network, info)
    return path


def _phantom(folder: Path) -> tuple[Path, Path]:
    pair = make_phantom_pair()
    for name in ("fixed", "moving"):
        sitk.WriteImage(getattr(pair, name), str(folder / f"{name}.nrrd"))
    return folder / "fixed.nrrd", folder / "moving.nrrd"


def _spacing(fixed: PreparedImage, preset: Preset, size: tuple[int, int, int]) -> float:
    """Returns the preset's spacing, or the tenth of a millimetre at which the anatomy fits into the grid."""
    first, last = bounding_box(fixed.foreground)
    reoriented = fixed.grid.reoriented(preset.axes)
    steps = np.abs(reoriented.axes.T @ fixed.grid.axes) * np.asarray(fixed.grid.spacing)
    anatomy = steps @ (last - first + 1)
    needed = float(((anatomy + 2 * _MARGIN_MM) / np.asarray(size)).max())
    return max(preset.spacing, float(np.ceil(10 * needed) / 10))
