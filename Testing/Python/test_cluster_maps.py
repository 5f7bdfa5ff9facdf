"""Cluster maps: where they lie in space and how they are numbered."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from field_fixtures import oblique_grid, rotation

from SACBRegistrationLib.imaging.cluster_maps import (
    cluster_map,
    level_grid,
    level_image,
    order_by_intensity,
)

GRID = oblique_grid(
    (64, 48, 80), (1.1, 1.7, 1.3), (12, -30, 55), rotation(20, -10, 35) @ np.diag((-1, 1, -1.0))
)


def blob(center, radius=9.0):
    """[1, 1, D, H, W] soft bright ball around an LPS point."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.size), indexing="ij"), -1)
    distance = np.linalg.norm(GRID.to_lps(index) - center, axis=-1)
    return torch.from_numpy(1 / (1 + np.exp(distance - radius))).float()[None, None]


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_bright_off_centre_ball_is_found_where_it_is(level):
    center = GRID.to_lps(np.array([43.3, 15.8, 52.1]))
    image = level_image(blob(center), level)
    labels = (image[:, 0] > 0.5).long()
    found = cluster_map(labels, order_by_intensity(labels, image, 2), GRID, level)
    assert found.GetPixelID() == sitk.sitkUInt8
    assert found.GetSpacing() == pytest.approx(tuple(s * 2 ** (level - 1) for s in GRID.spacing))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(found)
    error = np.linalg.norm(np.asarray(shape.GetCentroid(2)) - center)
    # Without the half-voxel offset of averaging, the error would be (2^(level-1) - 1) / 2 of GRID's voxels.
    assert error < 0.25 * min(found.GetSpacing())


def test_level_voxels_lie_at_the_centres_of_the_blocks_they_average():
    grid = level_grid(GRID, 3)
    assert grid.size == (16, 12, 20)
    block = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for voxel in ([0, 0, 0], [5, 3, 11]):
        center = GRID.to_lps(np.asarray(voxel) * 4 + block).mean(axis=0)
        assert grid.to_lps(np.asarray(voxel)) == pytest.approx(center)


def test_clusters_are_numbered_by_mean_intensity_and_empty_ones_come_last():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (1, 8, 6, 10), generator=generator)
    labels[labels == 1] = 4
    # Clusters 0, 2 and 4 occur; 1 and 3 are empty.
    means = torch.tensor([0.5, 9.0, 0.1, 9.0, 0.9])
    image = means[labels][:, None] + 0.05 * torch.randn(1, 1, 8, 6, 10, generator=generator)
    rank = order_by_intensity(labels, image, 5)
    assert rank.tolist() == [1, 3, 0, 4, 2]
    assert sorted(rank.tolist()) == list(range(5))
    grid = oblique_grid((16, 12, 20), (1, 2, 3), (0, 0, 0), GRID.axes)
    array = sitk.GetArrayFromImage(cluster_map(labels, rank, grid, 2)).transpose(2, 1, 0)
    pixels = image[0, 0].numpy()
    averages = [pixels[array == number].mean() for number in (1, 2, 3)]
    assert averages == sorted(averages)
    assert set(np.unique(array)) == {1, 2, 3}


def test_renumbering_permuted_clusters_gives_the_same_map():
    image = level_image(blob(GRID.center), 2)
    labels = (image[:, 0] * 3.999).long()
    permutation = torch.tensor([2, 0, 3, 1])
    first = cluster_map(labels, order_by_intensity(labels, image, 4), GRID, 2)
    other = permutation[labels]
    second = cluster_map(other, order_by_intensity(other, image, 4), GRID, 2)
    assert np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))


def test_labels_of_another_level_are_refused():
    labels = torch.zeros(1, 16, 12, 20, dtype=torch.long)
    with pytest.raises(ValueError, match="level 2"):
        cluster_map(labels, torch.arange(3), GRID, 2)
    with pytest.raises(ValueError, match="shape"):
        order_by_intensity(labels, torch.zeros(1, 1, 8, 8, 8), 3)
