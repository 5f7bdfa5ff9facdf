"""Carrying a deformation from one lattice of fixed space to another."""

import numpy as np
import torch
from torch.nn import functional as F

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import to_tensor


def transfer(phi: torch.Tensor, source: Grid, target: Grid) -> torch.Tensor:
    """Returns a deformation on another grid with the same axes, trilinear, border values outside.

    Args:
        phi: [1, 3, D, H, W] in voxels of `source`.
        source: Grid of phi.
        target: Grid with the same direction.

    Returns:
        [1, 3, D', H', W'] in voxels of `target`.

    Raises:
        ValueError: When the directions differ.
    """
    if not np.allclose(source.axes, target.axes, atol=1e-5):
        raise ValueError("the grids must have the same axes")
    lines = []
    for axis in (2, 1, 0):
        index = np.zeros((target.size[axis], 3))
        index[:, axis] = np.arange(target.size[axis])
        place = source.to_index(target.to_lps(index))[:, axis]
        lines.append(to_tensor(place * 2 / max(source.size[axis] - 1, 1) - 1).to(phi))
    w, h, d = lines
    mesh = torch.stack([m.permute(2, 1, 0) for m in torch.meshgrid(w, h, d, indexing="ij")], dim=-1)
    sampled = F.grid_sample(phi, mesh[None], padding_mode="border", align_corners=True)
    ratio = to_tensor(np.asarray(source.spacing) / np.asarray(target.spacing)).to(phi)
    return sampled * ratio.view(1, 3, 1, 1, 1)
