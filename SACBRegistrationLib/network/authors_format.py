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

_PUBLISHED_PARTS = {ours: theirs for theirs, ours in _SACB_PARTS.items()}
_REVERSE = (
    (re.compile(r"^encoder\.stages\.(\d)(\..+)$"), lambda stage, rest: f"encoder.conv{stage}{rest}"),
    (
        re.compile(r"^sacb\.(\d)\.(\w+)(\..+)?$"),
        lambda level, part, rest: f"sacb_proj{level}.{_PUBLISHED_PARTS[part]}{rest or ''}",
    ),
    (re.compile(r"^final\.refine\.(\d)(\..+)$"), lambda i, rest: f"conv1.{int(i) + 1}{rest}"),
    (re.compile(r"^final\.estimate\.2(\..+)$"), lambda rest: f"conv1_out.3.conv{rest}"),
    (re.compile(r"^final\.estimate\.(\d)(\..+)$"), lambda i, rest: f"conv1_out.{int(i) + 1}{rest}"),
)


def is_authors_format(state: dict[str, torch.Tensor]) -> bool:
    """Returns whether the parameter names are those of the published code."""
    return any(key.startswith(("encoder.conv0.", "sacb_proj")) for key in state)


def translate(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the published parameters under this network's names; unknown names stay as they are."""
    return {_translate_key(key): value for key, value in state.items() if not _IGNORED.match(key)}


def published_key(key: str) -> str:
    """Returns the name in the published files of a parameter of this network: what `translate` turns back."""
    for pattern, template in _REVERSE:
        found = pattern.match(key)
        if found:
            return template(*found.groups())
    return key


def feature_mean_of(state: dict[str, torch.Tensor]) -> str:
    """Returns the feature mean that translated parameters were trained with, from the width of a kernel MLP.

    "spatial", the published setting, where no block tells.
    """
    for level, channels in CHANNELS.items():
        weight = state.get(f"sacb.{level}.kernel_mlp.0.weight")
        if weight is not None and weight.dim() == 2:
            widths = {channels: "spatial", 27: "channel", channels + 27: "mixed"}
            return widths.get(weight.shape[1], "spatial")
    return "spatial"


def grid_size_of(state: dict[str, torch.Tensor]) -> tuple[int, int, int] | None:
    """Returns the size [D, H, W] of the grid that published parameters were trained on, None when untold."""
    grids = [value.shape[2:] for key, value in state.items() if _IGNORED.match(key) and value.dim() == 5]
    return max(((int(d), int(h), int(w)) for d, h, w in grids if d * h * w), default=None)


def _translate_key(key: str) -> str:
    for pattern, rename in _RULES:
        found = pattern.match(key)
        if found:
            return rename(*found.groups())
    return key
