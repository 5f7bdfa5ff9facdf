"""Named sets of choices: the grid, intensities, network and labels that belong together for one task."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.normalization import Normalization
from SACBRegistrationLib.preset_file import read_preset_file
from SACBRegistrationLib.resources import resource_folder


@dataclass(frozen=True)
class Preset:
    """One task's grid, intensities and defaults; docs/presets.md describes the file it is read from.

    Attributes:
        name: Short name, as given on the command line.
        title: One line for people.
        description: What the preset is for and what is known of the data behind it.
        modality: "mr" or "ct".
        size: Voxels of the network grid along its axes; each a multiple of 16.
        spacing: Distance of voxel centres of the network grid, mm.
        axes: Axis codes of the network grid, such as "LIA": index axis 0 grows to the left.
        normalization: How intensities are brought to [0, 1].
        clusters: Default number N of tissue clusters.
        alignment: Default alignment before the network: "none", "rigid" or "affine".
        weights: File name in Resources/Weights, absolute path for a user's own file, or None without weights.
        refine_steps: Most refinement steps per resolution where refinement is asked for without a number.
        refine_network: Whether a network's result is refined where nothing is said about refinement.
        training_lambda: Weight of the smoothness term in training.
        skull_stripped: Whether it is for brains without skull, scalp and neck.
        labels: Names of the structures that scores are reported for, by label value.
    """

    name: str
    title: str
    description: str
    modality: str
    size: tuple[int, int, int]
    spacing: float
    axes: str
    normalization: Normalization
    clusters: int
    alignment: str
    weights: str | None
    refine_steps: int
    refine_network: bool
    training_lambda: float
    skull_stripped: bool
    labels: Mapping[int, str]

    @property
    def weights_path(self) -> Path | None:
        """Path of the checkpoint, which need not exist; None when the preset has no weights."""
        if self.weights is None:
            return None
        path = Path(self.weights)
        return path if path.is_absolute() else resource_folder("Weights") / path


def list_presets() -> list[Preset]:
    """Returns the bundled presets, sorted by name.

    Raises:
        UserError: When a bundled file was edited and no longer holds a valid preset.
    """
    return [_read(path) for path in _bundled().values()]


def load_preset(name_or_path: str | Path) -> Preset:
    """Returns a bundled preset by its name, or the preset of a user's own file.

    Args:
        name_or_path: A bundled name such as "ixi", or the path of a preset file (JSON).

    Raises:
        UserError: When there is no such preset, or its file is not valid; the message names the file and the
            first offending key.
    """
    bundled = _bundled()
    text = str(name_or_path)
    if text in bundled:
        return _read(bundled[text])
    path = Path(name_or_path).expanduser()
    if path.suffix.lower() != ".json" and not os.path.isfile(path):
        raise UserError(
            f'There is no preset "{text}"; choose one of {", ".join(bundled)}, or give the path of a preset '
            "file (.json)."
        )
    return _read(path)


def _bundled() -> dict[str, Path]:
    return {path.stem: path for path in sorted(resource_folder("Presets").glob("*.json"))}


def _read(path: Path) -> Preset:
    values = read_preset_file(path)
    weights = values["weights"]
    beside = path.resolve().parent / weights if weights is not None else None
    # os.path, as pathlib raises for a name that no file can have.
    if beside is not None and os.path.isfile(beside):
        weights = str(beside)
    return Preset(
        **{**values, "weights": weights, "normalization": Normalization(**values["normalization"])},
    )
