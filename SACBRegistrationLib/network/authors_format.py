"""Checkpoints published by SACB-Net's authors (.pth.tar), read as facts about names and shapes."""

import re

import torch

from SACBRegistrationLib.network.encoder import CHANNELS

_SACB_PARTS = {"w": "weight", "get_kernel": "kernel_mlp", "get_bias": "bias_mlp", "proj_in": "project"}
# The published sampling grids of the training size; this network makes its own for every size.
_IGNORED = re.compile(r"^transformer\.\d+\.grid$")


def _encoder(stage: str, block: str, kind: str) -> str:
    return f"encoder.stages.{stage}.{block}.conv.{kind}"


def _sacb(level: str, part: str, rest: str | None) -> str:
    return f"sacb.{level}.{_SACB_PARTS[part]}{rest or ''}"


def _refine(block: str, kind: str) -> str:
    return f"final.refine.{int(block) - 1}.conv.{kind}"


def _estimate(block: str, kind: str) -> str:
    return f"final.estimate.{int(block) - 1}.conv.{kind}"


def _last(kind: str) -> str:
    return f"final.estimate.2.{kind}"


_RULES = (
    (re.compile(r"^encoder\.conv(\d)\.(\d)\.conv\.(weight|bias)$"), _encoder),
    (re.compile(r"^sacb_proj([2-5])\.(w|get_kernel|get_bias|proj_in)(\..+)?$"), _sacb),
    (re.compile(r"^conv1\.([12])\.conv\.(weight|bias)$"), _refine),
    (re.compile(r"^conv1_out\.([12])\.conv\.(weight|bias)$"), _estimate),
    (re.compile(r"^conv1_out\.3\.conv\.(weight|bias)$"), _last),
)


def is_authors_format(state: dict[str, torch.Tensor]) -> bool:
    """Returns whether the parameter names are those of the published code."""
    return any(key.startswith(("encoder.conv0.", "sacb_proj")) for key in state)


def translate(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the published parameters under this network's names; unknown names stay as they are."""
    return {_translate_key(key): value for key, value in state.items() if not _IGNORED.match(key)}


def feature_mean_of(state: dict[str, torch.Tensor]) -> str:
    """Returns the feature mean that translated parameters were trained with, from the width of a kernel MLP.

    Raises:
        KeyError: When no spatial-awareness block is among the parameters.
    """
    for level, channels in CHANNELS.items():
        weight = state.get(f"sacb.{level}.kernel_mlp.0.weight")
        if weight is not None and weight.dim() == 2:
            widths = {channels: "spatial", 27: "channel", channels + 27: "mixed"}
            return widths.get(weight.shape[1], "spatial")
    raise KeyError("sacb.5.kernel_mlp.0.weight")


def _translate_key(key: str) -> str:
    for pattern, rename in _RULES:
        found = pattern.match(key)
        if found:
            return rename(*found.groups())
    return key
