"""Turns a checkpoint published by SACB-Net's authors into ours, with a description of what it holds."""

import hashlib
import os
from pathlib import Path

from SACBRegistrationLib import __version__
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.checkpoint import AUTHORS_FORMAT, load_checkpoint, save_checkpoint
from SACBRegistrationLib.presets import Preset

UNTOLD_DATA = "not recorded; a checkpoint published by SACB-Net's authors"
UNTOLD_LICENCE = "none stated by the authors; ask them before passing the weights on"


def convert_checkpoint(
    source: str | os.PathLike,
    target: str | os.PathLike,
    preset: Preset,
    training_data: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes published weights in our format; they stay the same numbers.

    Args:
        source: File of the authors (.pth.tar).
        target: File to write.
        preset: What the weights were trained for; its clusters, axes, spacing and extent are recorded.
        training_data: What they were trained on, for people.
        licence: Under which terms they may be used.
        overwrite: Whether an existing target is replaced.

    Returns:
        The target.

    Raises:
        UserError: When the source does not fit the network or is ours already, was trained on another grid
            than the preset's, or the target exists or cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"The weights cannot be converted onto themselves; give another file than {target}.")
    if target.is_dir():
        raise UserError(
            f"The output {target} is a folder; give the name of a file in it, such as {preset.name}.pt."
        )
    if target.exists() and not overwrite:
        raise UserError(f"The file {target} exists; give another name, or --force to replace it.")
    if not target.parent.is_dir():
        raise UserError(f"The folder {target.parent} does not exist; make it, or give another output.")
    network = load_checkpoint(source)
    if network.info["format"] != AUTHORS_FORMAT:
        raise UserError(f"The weights file {source} is in this project's format already; use it as it is.")
    trained = tuple(network.info.get("grid_size", preset.size))
    if trained != preset.size:
        raise UserError(
            f"The weights file {source} was trained on a grid of {_sides(trained)} voxels and the preset "
            f"{preset.name} has {_sides(preset.size)}; choose the preset that it was trained for."
        )
    network.clusters = preset.clusters
    save_checkpoint(
        target,
        network,
        {
            "preset": preset.name,
            "axes": preset.axes,
            "spacing_mm": [preset.spacing, preset.spacing],
            "extent_mm": [side * preset.spacing for side in preset.size],
            "training_data": training_data or UNTOLD_DATA,
            "licence": licence or UNTOLD_LICENCE,
            "version": __version__,
            "source": source.name,
            "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        },
    )
    return target


def _sides(size: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in size)
