"""A valid checkpoint to change, and how a refusal must read."""

import pytest
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet, load_checkpoint, save_checkpoint

INFO = {
    "preset": "ixi",
    "axes": "LIA",
    "spacing_mm": [1.0, 2.0],
    "extent_mm": [160.0, 192.0, 224.0],
    "training_data": "made up",
    "licence": "Apache-2.0",
    "version": "0.1.0",
    "steps": 7,
    "best": None,
    "nested": {"a": [1, 2.5, "x", True]},
}


def write_valid(path):
    torch.manual_seed(1)
    save_checkpoint(path, SACBNet(), INFO)
    return path


def content_of(path):
    return torch.load(path, weights_only=True)


def message_of(path):
    with pytest.raises(UserError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message and message.endswith(".")
    assert len(message) < len(str(path)) + 400
    return message
