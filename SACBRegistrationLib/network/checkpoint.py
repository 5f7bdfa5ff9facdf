"""Checkpoints: read safely, checked key by key, written with a description of what they hold."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.authors_format import (
    feature_mean_of,
    grid_size_of,
    is_authors_format,
    published_key,
    translate,
)
from SACBRegistrationLib.network.checkpoint_file import read_torch_file
from SACBRegistrationLib.network.checkpoint_info import offending_info_key
from SACBRegistrationLib.network.sacb_net import LEVELS, SACBNet

FORMAT = "sacb-registration"
FORMAT_VERSION = 1
AUTHORS_FORMAT = "authors"


def load_checkpoint(path: str | os.PathLike) -> SACBNet:
    """Reads a network from a file of ours or of SACB-Net's authors (.pth.tar).

    Args:
        path: The file; opened with `weights_only=True`, so that it cannot run code.

    Returns:
        The network in evaluation mode on the CPU, its metadata as `.info` ("format": "sacb-registration" or
        "authors", "feature_mean", and what the writer recorded; "grid_size", the voxels of the training grid,
        where a file of the authors tells it).

    Raises:
        UserError: When the file is missing, damaged, unsafe, or does not fit the network; the sentence names
            the first offending key, as it stands in the file.
    """
    path = Path(path)
    content = read_torch_file(path)
    state = _state_dict(content, path)
    named_by_authors = is_authors_format(state)
    if named_by_authors:
        size = grid_size_of(state)
        info: dict = {"format": AUTHORS_FORMAT, **({"grid_size": list(size)} if size else {})}
        state = translate(state)
    else:
        info = _info(content, path)
    network = _network(state, info, path)
    _load_state(network, state, path, published_key if named_by_authors else str)
    network.info = {**info, "feature_mean": network.feature_mean}
    return network.eval()


def save_checkpoint(path: str | os.PathLike, network: SACBNet, info: Mapping[str, object]) -> None:
    """Writes the network in our format; the file appears complete or not at all.

    Args:
        path: File to write; replaced when it exists.
        network: Its weights and structure are stored, on the CPU.
        info: Plain metadata: preset, training data, licence, version, spacing_mm and the like.

    Raises:
        UserError: When the file cannot be written there.
        ValueError: When the metadata could not be read back; names the first offending key.
    """
    path = Path(path)
    structure = {
        "feature_mean": network.feature_mean,
        "clusters": network.clusters,
        "sacb_levels": list(network.sacb_levels),
        "matching_window": network.matching_window,
    }
    described = {**info, **structure}
    key = offending_info_key(described)
    if key is not None:
        raise ValueError(f"the metadata of a checkpoint must be plain data of the expected type at {key!r}")
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "info": described,
        "state_dict": state,
    }
    # A name of its own: another process may be writing the same weights.
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
        os.replace(temporary, path)
    except OSError as error:
        if temporary.is_file():
            temporary.unlink()
        reason = error.strerror or str(error)
        raise UserError(
            f"The weights file {path} cannot be written ({reason}); choose another folder."
        ) from error


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
    name, version, info = (content.get(key) for key in ("format", "format_version", "info"))
    if not isinstance(name, str) or name != FORMAT:
        raise UserError(
            f"The weights file {path} lacks the key 'format' of a SACB-Net checkpoint; give another file."
        )
    if not isinstance(version, int) or version != FORMAT_VERSION:
        given = version if isinstance(version, int | str | float) else type(version).__name__
        raise UserError(
            f"The weights file {path} has 'format_version' {str(given)[:20]!r}, which this version cannot "
            "read; update SACBRegistration."
        )
    if not isinstance(info, dict):
        raise UserError(f"The weights file {path} lacks its metadata at 'info'; give another file.")
    key = offending_info_key(info)
    if key is not None:
        raise UserError(f"The weights file {path} has unreadable metadata at {key!r}; give another file.")
    return {**info, "format": FORMAT}


def _network(state: dict[str, torch.Tensor], info: dict, path: Path) -> SACBNet:
    settings = {
        "clusters": info.get("clusters", 7),
        "feature_mean": info.get("feature_mean") or feature_mean_of(state),
        "sacb_levels": info.get("sacb_levels", LEVELS),
        "matching_window": info.get("matching_window", 3),
    }
    for key, value in settings.items():
        try:
            # Alone, so that the sentence names the setting that is wrong.
            SACBNet(**{"sacb_levels": (), key: value})
        except (ValueError, TypeError) as error:
            raise UserError(
                f"The weights file {path} does not fit the network at {key!r} ({str(error)[:200]}); give "
                "another file."
            ) from error
    return SACBNet(**settings)


def _load_state(network: SACBNet, state: dict[str, torch.Tensor], path: Path, name_in_file) -> None:
    expected = network.state_dict()
    for key, parameter in expected.items():
        wrong = "is missing" if key not in state else _wrong(state[key], parameter)
        if wrong:
            raise UserError(
                f"The weights file {path} does not fit the network: {name_in_file(key)!r} {wrong}; give "
                "weights of a SACB-Net."
            )
    for key in state:
        if key not in expected:
            raise UserError(
                f"The weights file {path} does not fit the network: {key[:80]!r} is unknown; give weights of "
                "a SACB-Net."
            )
    network.load_state_dict(state)


def _wrong(value: torch.Tensor, parameter: torch.Tensor) -> str | None:
    """Returns what keeps a tensor from being a parameter's value, None when nothing does."""
    if value.layout != torch.strided or value.is_nested or value.device.type != "cpu":
        return "is no plain tensor"
    if value.shape != parameter.shape:
        return f"has shape {tuple(value.shape)[:8]}, expected {tuple(parameter.shape)}"
    if not value.is_floating_point():
        return f"holds {str(value.dtype).removeprefix('torch.')} values, expected floating-point ones"
    if not bool(torch.isfinite(value.to(parameter.dtype)).all()):
        return "holds values that are no finite numbers"
    return None
