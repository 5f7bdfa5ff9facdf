"""Cluster maps of the network's pyramid levels as label images in physical space."""

import SimpleITK as sitk
import torch
import torch.nn.functional as F

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image, to_array


def level_grid(network_grid: Grid, level: int) -> Grid:
    """Returns the grid of level i: 2^(i-1) times the spacing, voxels at the centres of their blocks."""
    return network_grid.coarsened(2 ** (level - 1))


def level_image(image: torch.Tensor, level: int) -> torch.Tensor:
    """Returns [1, 1, D, H, W] averaged over the blocks that the voxels of a pyramid level stand for."""
    return F.avg_pool3d(image, 2 ** (level - 1)) if level > 1 else image


def order_by_intensity(labels: torch.Tensor, image: torch.Tensor, clusters: int) -> torch.Tensor:
    """Returns the rank of every cluster by ascending mean image intensity.

    The same number then means a similar tissue in both images and at all levels.

    Args:
        labels: [1, D, H, W] integers in [0, clusters).
        image: [1, 1, D, H, W] image that was clustered, averaged to the level; see `level_image`.
        clusters: Number of clusters N.

    Returns:
        [N] int64, a permutation: cluster n becomes rank[n], counted from 0. Empty clusters come last, in the
        order of their old numbers.

    Raises:
        ValueError: When labels and image differ in shape.
    """
    if labels.shape[1:] != image.shape[2:]:
        raise ValueError(f"labels {tuple(labels.shape)} and image {tuple(image.shape)} differ in shape")
    flat = labels.reshape(-1).long().cpu()
    counts = torch.bincount(flat, minlength=clusters)
    sums = torch.bincount(flat, weights=image.detach().reshape(-1).double().cpu(), minlength=clusters)
    means = torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)
    rank = torch.empty(clusters, dtype=torch.long)
    rank[torch.argsort(means, stable=True)] = torch.arange(clusters)
    return rank


def cluster_map(labels: torch.Tensor, rank: torch.Tensor, network_grid: Grid, level: int) -> sitk.Image:
    """Returns the clusters of one pyramid level as a label image in fixed space.

    Args:
        labels: [1, D, H, W] integers in [0, N), on the network grid coarsened to the level.
        rank: [N] the number of each cluster from 0, from `order_by_intensity`.
        network_grid: Grid of the network's input.
        level: Pyramid level i, 1 to 5.

    Returns:
        UInt8 image with values 1 to N on `level_grid(network_grid, level)`.

    Raises:
        ValueError: When the labels do not lie on that grid.
    """
    grid = level_grid(network_grid, level)
    if tuple(labels.shape) != (1, *grid.size):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, level {level} has size {grid.size}")
    numbers = (rank.cpu() + 1)[labels[0].long().cpu()]
    return array_to_image(to_array(numbers.to(torch.uint8)), grid)
