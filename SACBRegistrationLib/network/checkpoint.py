"""Checkpoints: read safely, checked key by key, written with a description of what they hold."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.authors_format import feature_mean_of, is_authors_format, translate
from SACBRegistrationLib.network.sacb_net import LEVELS, SACBNet

FORMAT = "sacb-registration"
FORMAT_VERSION = 1
_MOST_BYTES = 500_000_000
_INFO_TYPES = (str, int, float, bool, list, tuple, dict, type(None))


def load_checkpoint(path: str | os.PathLike) -> SACBNet:
    """Reads a network from a file of ours or of SACB-Net's authors (.pth.tar).

    Args:
        path: The file; opened with `weights_only=True`, so that it cannot run code.

    Returns:
        The network in evaluation mode on the CPU, its metadata as `.info` ("format": "sacb-registration" or
        "authors", "feature_mean", and what the writer recorded).

    Raises:
        UserError: When the file is missing, damaged, unsafe, or does not fit the network; the sentence names
            the first offending key.
    """
    path = Path(path)
    content = _read(path)
    state = _state_dict(content, path)
    if is_authors_format(state):
        state = translate(state)
        info: dict = {"format": "authors"}
    else:
        info = _info(content, path)
    network = _network(state, info, path)
    _load_state(network, state, path)
    network.info = {**info, "feature_mean": network.feature_mean}
    return network.eval()


def save_checkpoint(path: str | os.PathLike, network: SACBNet, info: Mapping[str, object]) -> None:
    """Writes the network in our format; the file appears complete or not at all.

    Args:
        path: File to write; replaced when it exists.
        network: Its weights and structure are stored, on the CPU.
        info: Plain metadata: preset, training data, licence, version, spacing_mm and the like.
    """
    path = Path(path)
    structure = {
        "feature_mean": network.feature_mean,
        "clusters": network.clusters,
        "sacb_levels": list(network.sacb_levels),
        "matching_window": network.matching_window,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "info": {**info, **structure},
        "state_dict": state,
    }
    temporary = path.with_name(path.name + ".partial")
    torch.save(content, temporary)
    os.replace(temporary, path)


def _read(path: Path) -> object:
    if not path.is_file():
        raise UserError(f"The weights file {path} does not exist; give the path of a checkpoint.")
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(
            f"The weights file {path} is too large to be a SACB-Net checkpoint; give another file."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "holds objects other than weights or is damaged"
        raise UserError(f"The weights file {path} {reason}; download or convert it again.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError,
            ImportError, AssertionError, MemoryError, zipfile.BadZipFile) as error:  # fmt: skip
        raise UserError(f"The weights file {path} is damaged or no torch file; download it again.") from error


def _state_dict(content: object, path: Path) -> dict[str, torch.Tensor]:
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise UserError(f"The weights file {path} has no 'state_dict'; give a SACB-Net checkpoint.")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UserError(
                f"The weights file {path} holds no tensor at {str(key)[:80]!r}; give another file."
            )
    return dict(state)


def _info(content: dict, path: Path) -> dict:
    if content.get("format") != FORMAT or not isinstance(content.get("info"), dict):
        raise UserError(
            f"The weights file {path} lacks the key 'format' of a SACB-Net checkpoint; give another file."
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"The weights file {path} has 'format_version' {content.get('format_version')!r}, which this "
            "version cannot read; update SACBRegistration."
        )
    info = content["info"]
    for key, value in info.items():
        if not isinstance(key, str) or not isinstance(value, _INFO_TYPES):
            raise UserError(f"The weights file {path} has unreadable metadata at {str(key)[:80]!r}.")
    return {**info, "format": FORMAT}


def _network(state: dict[str, torch.Tensor], info: dict, path: Path) -> SACBNet:
    key = "feature_mean"
    try:
        feature_mean = info.get(key) or feature_mean_of(state)
        key = "sacb_levels"
        sacb_levels = tuple(info.get(key, LEVELS))
        key = "clusters"
        clusters = info.get(key, 7)
        key = "matching_window"
        return SACBNet(clusters, feature_mean, sacb_levels, info.get(key, 3))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"The weights file {path} does not fit the network at {key!r}: {error}") from error


def _load_state(network: SACBNet, state: dict[str, torch.Tensor], path: Path) -> None:
    expected = network.state_dict()
    for key, parameter in expected.items():
        if key not in state:
            raise UserError(f"The weights file {path} does not fit the network: {key!r} is missing.")
        value = state[key]
        if value.shape != parameter.shape:
            raise UserError(
                f"The weights file {path} does not fit the network: {key!r} has shape {tuple(value.shape)}, "
                f"expected {tuple(parameter.shape)}."
            )
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise UserError(f"The weights file {path} holds values that are no finite numbers at {key!r}.")
    for key in state:
        if key not in expected:
            raise UserError(f"The weights file {path} does not fit the network: {key[:80]!r} is unknown.")
    network.load_state_dict(state)
