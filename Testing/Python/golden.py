"""The recorded results of the published code, as tensors."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from shared_data import require_shared

from SACBRegistrationLib.network import ClusterContext
from SACBRegistrationLib.network.sacb_net import LEVELS, ROLES

NAMES = ("spatial_k7_64x80x96", "channel_k5_48x48x64", "mixed_k5_48x48x64")


@dataclass(frozen=True)
class Golden:
    name: str
    weights: Path
    arrays: dict[str, np.ndarray]
    settings: dict

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key])

    def image(self, role: str) -> torch.Tensor:
        return self.tensor(role)[None, None]

    def shape(self, level: int) -> tuple[int, ...]:
        return tuple(n // 2 ** (level - 1) for n in self.arrays["fixed"].shape)

    def contexts(self) -> dict[tuple[int, str], ClusterContext]:
        return {
            (level, role): ClusterContext(
                self.tensor(f"level{level}_{role}_labels").long().reshape(1, *self.shape(level)),
                self.tensor(f"level{level}_{role}_centroids")[None],
            )
            for level in LEVELS
            for role in ROLES
        }


def load_golden(name: str) -> Golden:
    arrays = dict(np.load(require_shared(f"golden/{name}.npz")))
    settings = json.loads(require_shared(f"golden/{name}.json").read_text())
    return Golden(name, require_shared(f"golden/{name}.pth.tar"), arrays, settings)
