"""Sampling an image on another grid without aliasing."""

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import affine_part
from SACBRegistrationLib.imaging.tensors import to_array, to_tensor

# Below a twentieth of a voxel the Gaussian's neighbours weigh less than float32 resolves.
_NEGLIGIBLE_SIGMA = 0.05
# Grids whose axes drift apart by less over their length are parallel, voxels.
_NEGLIGIBLE_SHIFT = 1e-4


def smoothing_sigma(source: Grid, target: Grid, transform: sitk.Transform | None = None) -> np.ndarray:
    """Returns the Gaussian that removes from an image what a coarser grid cannot hold.

    Each grid's voxel is taken as a Gaussian whose full width at half maximum is the spacing. The target's,
    carried into the source by the transform's linear part, less the source's own, is what is missing:
    sigma_k^2 = max(0, sum_j (R_kj t_j)^2 - s_k^2) / (8 ln 2), with R the target's axes seen from the source's
    axes, t and s the spacings. With matched axes and ratio r = t/s this is (r^2 - 1) / (8 ln 2) source
    voxels.

    Args:
        source: Grid of the image.
        target: Grid to sample on.
        transform: Takes target points to source points (LPS mm); None is the identity.

    Returns:
        [3] standard deviations along the source's index axes, mm.
    """
    axes = target.axes if transform is None else affine_part(transform, target).matrix @ target.axes
    widths = (source.axes.T @ axes * np.asarray(target.spacing)) ** 2
    missing = widths.sum(axis=1) - np.asarray(source.spacing) ** 2
    return np.sqrt(np.maximum(missing, 0.0) / (8 * np.log(2)))


def smooth(image: sitk.Image, sigma: np.ndarray) -> sitk.Image:
    """Convolves with a Gaussian whose standard deviations (mm) differ per index axis; returns float32."""
    image = sitk.Cast(image, sitk.sitkFloat32)
    weights = [
        _smoothing_matrix(size, spacing, float(width))
        if size > 1 and width >= _NEGLIGIBLE_SIGMA * spacing
        else None
        for size, spacing, width in zip(image.GetSize(), image.GetSpacing(), sigma, strict=True)
    ]
    if all(matrix is None for matrix in weights):
        return image
    values = to_tensor(sitk.GetArrayFromImage(image))
    x, y, z = weights
    if x is not None:
        values = values @ x.T
    if y is not None:
        values = y @ values
    if z is not None:
        values = (z @ values.flatten(1)).view(values.shape)
    smoothed = sitk.GetImageFromArray(to_array(values))
    smoothed.CopyInformation(image)
    return smoothed


def _smoothing_matrix(size: int, spacing: float, width: float) -> torch.Tensor:
    """Returns the [size, size] weights of SimpleITK's Gaussian along an axis, read off its effect on points.

    Products with it take a sixth of the time that the filter takes on the volume. The filter's truncated
    kernel is exact also below one voxel, where the recursive one is not.
    """
    points = sitk.GetImageFromArray(np.eye(size, dtype=np.float32))
    points.SetSpacing((spacing, 1.0))
    spread = sitk.DiscreteGaussian(points, (width**2, 0.0), maximumKernelWidth=64, maximumError=0.005)
    return to_tensor(sitk.GetArrayFromImage(spread).T.copy())


def resample(
    image: sitk.Image, grid: Grid, transform: sitk.Transform | None = None, default: float = 0.0
) -> sitk.Image:
    """Samples a scalar image linearly on a grid, smoothed first where the grid is coarser than the image.

    Args:
        image: 3D scalar image.
        grid: Where to sample.
        transform: Takes the grid's points to the image's points (LPS mm); None is the identity.
        default: Value outside the image.

    Returns:
        float32 image on `grid`.
    """
    source = Grid.from_image(image)
    sigma = smoothing_sigma(source, grid, transform)
    if transform is None and (axes := _axes_between(source, grid)) is not None:
        return _along_axes(image, grid, axes, sigma, default)
    return grid.resample(smooth(image, sigma), transform, sitk.sitkLinear, default)


def _axes_between(source: Grid, grid: Grid) -> tuple[int, int, int] | None:
    """Returns the axis of `grid` along which each axis of `source` runs; None where they are not parallel."""
    steps = np.linalg.inv(source.matrix) @ grid.matrix
    order = tuple(int(axis) for axis in abs(steps).argmax(axis=1))
    if sorted(order) != [0, 1, 2]:
        return None
    steps[range(3), order] = 0
    return order if (abs(steps) * np.asarray(grid.size)).sum(axis=1).max() < _NEGLIGIBLE_SHIFT else None


def _along_axes(
    image: sitk.Image, grid: Grid, axes: tuple[int, int, int], sigma: np.ndarray, default: float
) -> sitk.Image:
    """Smooths and samples in one product per axis, which computes no voxel that is not asked for.

    Args:
        image: Scalar image.
        grid: Where to sample.
        axes: The grid's axis along which each of the image's runs.
        sigma: Standard deviations along the image's axes, mm.
        default: Value outside the image.
    """
    source = Grid.from_image(image)
    values = to_tensor(sitk.GetArrayFromImage(sitk.Cast(image, sitk.sitkFloat32)))
    beyond = torch.zeros([grid.size[axis] for axis in reversed(axes)], dtype=torch.bool)
    for own, axis in enumerate(axes):
        index = np.zeros((grid.size[axis], 3))
        index[:, axis] = np.arange(grid.size[axis])
        places = source.to_index(grid.to_lps(index))[:, own]
        weights = _linear_weights(source.size[own], places)
        if source.size[own] > 1 and sigma[own] >= _NEGLIGIBLE_SIGMA * source.spacing[own]:
            weights = weights @ _smoothing_matrix(source.size[own], source.spacing[own], float(sigma[own]))
        values = torch.movedim(torch.tensordot(weights, values, dims=([1], [2 - own])), 0, 2 - own)
        # As SimpleITK sees it, an image ends half a voxel beyond its outermost voxels' centres.
        outside = to_tensor((places < -0.5) | (places > source.size[own] - 0.5))
        beyond |= outside.view([-1 if k == 2 - own else 1 for k in range(3)])
    values[beyond] = default
    order = [2 - axes.index(axis) for axis in (2, 1, 0)]
    sampled = sitk.GetImageFromArray(to_array(values.permute(order).contiguous()))
    sampled.SetOrigin(grid.origin)
    sampled.SetSpacing(grid.spacing)
    sampled.SetDirection(grid.direction)
    return sampled


def _linear_weights(size: int, places: np.ndarray) -> torch.Tensor:
    """Returns the [n, size] weights of linear interpolation at places, in voxels; the border goes on."""
    places = np.clip(places, 0, size - 1)
    first = np.minimum(np.floor(places).astype(int), max(size - 2, 0))
    weights, rows = np.zeros((len(places), size), np.float32), np.arange(len(places))
    weights[rows, first] = 1 - (places - first)
    if size > 1:
        weights[rows, first + 1] = places - first
    return to_tensor(weights)


def resample_labels(labels: sitk.Image, grid: Grid, transform: sitk.Transform | None = None) -> sitk.Image:
    """Samples a label map with nearest neighbour on a grid; 0 outside; keeps the number type.

    Args:
        labels: 3D label map.
        grid: Where to sample.
        transform: Takes the grid's points to the label map's points (LPS mm); None is the identity.
    """
    return grid.resample(labels, transform, sitk.sitkNearestNeighbor, 0)
