"""The kinds of hostile files: how a case is made, and how the program reads it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from Hostile.damage import Random
from Hostile.place import Place, shows_secret


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        write: Writes a case into the place and returns its path.
        read: Reads it as the program does; raises UserError to refuse it. Returns what is wrong with what
            came out, or None.
    """

    write: Callable[[Random, Place], Path]
    read: Callable[[Path], str | None]


def _read_volume(path: Path) -> str | None:
    from SACBRegistrationLib.imaging.reading import read_volume

    return "another file was read" if shows_secret(read_volume(path, "fixed")) else None


def _nifti() -> Kind:
    from Hostile.nifti import write_nifti

    return Kind(write_nifti, _read_volume)


def _nrrd() -> Kind:
    from Hostile.nrrd import write_nrrd

    return Kind(write_nrrd, _read_volume)


def _metaimage() -> Kind:
    from Hostile.metaimage import write_metaimage

    return Kind(write_metaimage, _read_volume)


def _dicom() -> Kind:
    from Hostile.dicom import Series

    return Kind(Series().write, _read_volume)


def _preset() -> Kind:
    from Hostile.texts import write_preset

    from SACBRegistrationLib.presets import load_preset

    def read(path: Path) -> str | None:
        preset = load_preset(path)
        # What the command line and the panel do with it next.
        f"{preset.name} {preset.title} {preset.description} {preset.weights}".encode()
        return (
            None if preset.weights_path is None or not preset.weights_path.is_file() else "weights appeared"
        )

    return Kind(write_preset, read)


def _checkpoint() -> Kind:
    from Hostile.checkpoints import Checkpoints

    from SACBRegistrationLib.network import load_checkpoint

    def read(path: Path) -> str | None:
        load_checkpoint(path)

    return Kind(Checkpoints().write, read)


def _state() -> Kind:
    from Hostile.states import States

    with tempfile.TemporaryDirectory(prefix="sacb-state-") as folder:
        states = States(Path(folder))
    return Kind(states.write, states.read)


def _pickle() -> Kind:
    from Hostile.pickles import write_pickle

    from SACBRegistrationLib.training.published_pickle import read_published_pickle

    def read(path: Path) -> str | None:
        image, _ = read_published_pickle(path)
        return None if image.nbytes <= 4 * path.stat().st_size else "the image is larger than its file"

    return Kind(write_pickle, read)


def _split() -> Kind:
    from Hostile.texts import write_split

    from SACBRegistrationLib.training.split import read_split

    def read(path: Path) -> str | None:
        read_split(path, None)

    return Kind(write_split, read)


def _pair_list() -> Kind:
    from Hostile.texts import write_pair_list

    from SACBRegistrationLib.study.pair_list import read_pair_list

    def read(path: Path) -> str | None:
        read_pair_list(path)

    return Kind(write_pair_list, read)


KINDS: dict[str, Callable[[], Kind]] = {
    "nifti": _nifti,
    "nrrd": _nrrd,
    "metaimage": _metaimage,
    "dicom": _dicom,
    "preset": _preset,
    "checkpoint": _checkpoint,
    "state": _state,
    "pickle": _pickle,
    "split": _split,
    "pairs": _pair_list,
}
"""Functions that return a kind, and import no more than it needs."""
