"""The displacement field of a registration: alignment and deformation in one, LPS mm."""

import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.imaging.linear import affine_part, parallel_axes
from SACBRegistrationLib.imaging.spline import LatticeSpline
from SACBRegistrationLib.imaging.tensors import to_array, to_tensor

_logger = logging.getLogger(__name__)

MAX_FIELD_VOXELS = 2**24
"""A field keeps a finely sampled volume's own lattice up to this many nodes (200 MB as float32)."""

_SLAB_VOXELS = 2**21
_POINTS_WORTH_THREADS = 2**14

# A field may be this much coarser than wanted rather than twice as fine.
_SLACK = 0.25


def displacement_grid(
    volume: Grid, spacing: float | tuple[float, float, float], largest: int = MAX_FIELD_VOXELS
) -> Grid:
    """Returns the lattice of a displacement field that is defined over a whole volume.

    Nodes lie on the volume's voxel centres wherever the spacings allow it. ITK interpolates a field linearly
    and Slicer with cubics, so the two agree exactly on nodes alone; between nodes they differ by about an
    eighth of the field's second differences. With nodes on the voxel centres every program warps every voxel
    alike.

    Args:
        volume: Grid that the field must cover, voxel edge to voxel edge.
        spacing: Wanted distance of nodes along the volume's axes, mm. A coarser volume axis is divided by an
            integer to come nearest to it.
        largest: A finer volume axis keeps one node per voxel while the field has at most this many nodes,
            otherwise it gets one node every few voxels; 0 never keeps it.

    Returns:
        A grid on the volume's axes with at least one node spacing beyond every voxel edge.
    """
    ratio = np.asarray(volume.spacing) / np.broadcast_to(spacing, 3)
    divided = 1 / np.maximum(1, np.ceil(ratio - _SLACK))
    grid = _lattice(volume, divided)
    if np.prod(grid.size, dtype=float) > largest:
        grid = _lattice(volume, divided * np.maximum(1, np.floor((1 + _SLACK) / ratio)))
    return grid


def _lattice(volume: Grid, step: np.ndarray) -> Grid:
    """Returns nodes every `step` voxels from voxel 0 on, in both directions, to a node beyond the edges."""
    before = np.ceil(0.5 / step + 1 - 1e-9)
    after = np.ceil((np.asarray(volume.size) - 0.5) / step + 1 - 1e-9)
    return Grid(
        tuple(int(n) for n in before + after + 1),
        tuple(float(s) for s in np.asarray(volume.spacing) * step),
        tuple(float(v) for v in volume.to_lps(-before * step)),
        volume.direction,
    )


def compose_displacement(
    phi: torch.Tensor,
    network_grid: Grid,
    alignment: sitk.Transform,
    fixed_grid: Grid,
    field_spacing: float | None = None,
) -> sitk.Image:
    """Returns the one displacement field u(x) = A(x + d(x)) - x of alignment and deformation.

    d is the deformation in mm, d = matrix(network_grid) phi, interpolated with cubic splines. Beyond the
    network grid it keeps the value of the nearest border point times a smoothstep that falls to zero over at
    least 20 mm and at least four times the largest border displacement, so that the fall itself (slope at
    most 3/8) cannot fold; farther out u is the pure alignment.

    Args:
        phi: [1, 3, D, H, W] deformation in voxels of the network grid, channels d, h, w = x, y, z.
        network_grid: Grid of phi, in fixed space; its axes are the fixed image's, permuted or flipped.
        alignment: A, takes fixed points to moving points, LPS mm; any transform.
        fixed_grid: Grid of the fixed image.
        field_spacing: Wanted distance of the field's nodes, mm; None takes the network grid's, and one node
            per fixed voxel where that is finer and affordable. See `displacement_grid`.

    Returns:
        Vector image, float32, three components (LPS mm), on the fixed image's axes, covering the whole fixed
        volume and at least one field voxel more on every side: outside its buffer a displacement field means
        "no displacement" to ITK, so the buffer must hold everything.

    Raises:
        ValueError: When phi does not lie on the network grid, or the two grids' axes are not parallel.
    """
    if tuple(phi.shape) != (1, 3, *network_grid.size):
        raise ValueError(f"phi has shape {tuple(phi.shape)}, the network grid has size {network_grid.size}")
    order = parallel_axes(fixed_grid, network_grid)
    if field_spacing is None:
        grid = displacement_grid(fixed_grid, tuple(network_grid.spacing[axis] for axis in order))
    else:
        grid = displacement_grid(fixed_grid, field_spacing, largest=0)

    # Positions of the field's nodes on the network grid, one list per axis, since the lattices are parallel.
    positions = [_positions(grid, network_grid, axis, order[axis]) for axis in range(3)]
    phi = phi.detach().to("cpu", torch.float32)[0]
    fall = _fall_length(phi, network_grid)
    linear = affine_part(alignment, fixed_grid)
    # Splines and the fall are linear in d, so that a linear alignment can be applied before them.
    matrix = linear.matrix @ network_grid.matrix if linear.exact else network_grid.matrix
    # [z, y, x, component], along the fixed axes.
    deformation = (to_tensor(matrix.astype(np.float32)) @ phi.flatten(1)).view(phi.shape)
    deformation = deformation.permute(1 + order[2], 1 + order[1], 1 + order[0], 0)
    beyond = [
        np.maximum(np.maximum(-p, p - (network_grid.size[order[axis]] - 1)), 0)
        * (network_grid.spacing[order[axis]] / fall)
        for axis, p in enumerate(positions)
    ]
    spline = LatticeSpline(deformation, positions)
    result = np.empty((*grid.size[::-1], 3), np.float32)
    depth = max(1, _SLAB_VOXELS // (grid.size[0] * grid.size[1]))
    for start in range(0, grid.size[2], depth):
        stop = min(start + depth, grid.size[2])
        slab = result[start:stop]
        around = _fall_around(beyond, start, stop)[..., None]
        np.multiply(to_array(spline.planes(start, stop)), around, out=slab)
        if linear.exact:
            slab += linear.displacement(grid, start, stop)
        else:
            slab[:] = _displace_then_align(slab, alignment, grid, start)
    _logger.debug("displacement field: %s nodes of %s mm", grid.size, grid.spacing)
    return _vector_image(result, grid)


def as_transform(displacement_field: sitk.Image) -> sitk.DisplacementFieldTransform:
    """Returns the transform x -> x + u(x) of a displacement field, which stays usable.

    SimpleITK's transform empties the image that it is given and wants float64; it gets a copy.
    """
    copy = sitk.Image(displacement_field)
    return sitk.DisplacementFieldTransform(sitk.Cast(copy, sitk.sitkVectorFloat64))


def map_points(displacement_field: sitk.Image, points: np.ndarray) -> np.ndarray:
    """Returns T(x) = x + u(x) for points, with linear interpolation, as ITK computes it.

    Args:
        displacement_field: Vector image, LPS mm.
        points: [..., 3] LPS mm.

    Returns:
        [..., 3] LPS mm, float64; points more than half a voxel outside the field's lattice stay where they
        are.
    """
    grid = Grid.from_image(displacement_field)
    points = np.asarray(points, dtype=float)
    index = grid.to_index(points).reshape(-1, 3)
    size = np.asarray(grid.size)
    field = to_tensor(sitk.GetArrayFromImage(displacement_field).astype(np.float32, copy=False))
    moved = to_array(sample_field(field, to_tensor(index))).astype(float)
    outside = ((index < -0.5) | (index > size - 0.5)).any(axis=1)
    moved[outside] = 0
    return points + moved.reshape(points.shape)


def sample_field(field: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Returns a vector field at continuous indices, trilinear, with the border's value outside.

    Args:
        field: [z, y, x, 3] float32.
        index: [n, 3] continuous indices (x, y, z).

    Returns:
        [n, 3] float32.
    """
    size = torch.tensor(field.shape[2::-1], dtype=index.dtype)
    place = (index * (2 / (size - 1).clamp(min=1)) - 1).float()
    # torch gives every sample of a batch one thread: one batch of few points for each of them.
    parts = torch.get_num_threads() if len(index) >= _POINTS_WORTH_THREADS else 1
    place = F.pad(place, (0, 0, 0, -len(index) % parts)).view(parts, 1, 1, -1, 3)
    source = field.permute(3, 0, 1, 2).expand(parts, -1, -1, -1, -1)
    values = F.grid_sample(source, place, padding_mode="border", align_corners=True)
    return values[:, :, 0, 0].transpose(1, 2).reshape(-1, field.shape[3])[: len(index)]


def smooth_fall(x: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    """Returns 1 - smoothstep(x): 1 at and below 0, 0 at and above 1, with a steepest slope of -1.5."""
    x = x.clip(0, 1)
    return 1 - x * x * (3 - 2 * x)


def write_displacement_field(displacement_field: sitk.Image, path: Path) -> None:
    """Writes a displacement field as NRRD, which Slicer opens as a grid transform, ITK as a vector image.

    Not compressed: the digits of a displacement are noise to zlib, which takes seconds to save nothing.
    """
    sitk.WriteImage(displacement_field, itk_path(path), useCompression=False)


def _positions(grid: Grid, network_grid: Grid, axis: int, network_axis: int) -> np.ndarray:
    index = np.zeros((grid.size[axis], 3))
    index[:, axis] = np.arange(grid.size[axis])
    positions = network_grid.to_index(grid.to_lps(index))[:, network_axis]
    # Rounding of origins must not turn a node that lies on a network voxel into an interpolated one.
    nearest = np.round(positions)
    return np.where(np.abs(positions - nearest) < 1e-5, nearest, positions)


def _fall_around(beyond: list[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Returns what is left of the border's deformation on some planes, [z, y, x] float32.

    Args:
        beyond: How far each node lies beyond the network grid along x, y and z, in lengths of the fall.
        start: First plane.
        stop: Plane after the last.
    """
    x, y, z = (b.astype(np.float32) ** 2 for b in beyond)
    return smooth_fall(np.sqrt(z[start:stop, None, None] + (y[:, None] + x)))


def _fall_length(phi: torch.Tensor, grid: Grid) -> float:
    """Returns the length, mm, over which phi [3, D, H, W] in voxels falls to zero beyond its border."""
    matrix = to_tensor(grid.matrix.astype(np.float32))
    faces = (phi.select(1 + axis, end).flatten(1) for axis in range(3) for end in (0, -1))
    largest = max(float((matrix @ face).norm(dim=0).max()) for face in faces)
    return max(20.0, 4 * largest)


def _displace_then_align(slab: np.ndarray, alignment: sitk.Transform, grid: Grid, start: int) -> np.ndarray:
    """Returns A(x + d(x)) - x on some planes for an alignment that is not linear."""
    part = Grid(
        (grid.size[0], grid.size[1], slab.shape[0]),
        grid.spacing,
        tuple(float(v) for v in grid.to_lps((0, 0, start))),
        grid.direction,
    )
    # SimpleITK applies the last transform of a composite first.
    both = sitk.CompositeTransform([alignment, as_transform(_vector_image(slab, part))])
    image = sitk.TransformToDisplacementField(
        both, sitk.sitkVectorFloat32, part.size, part.origin, part.spacing, part.direction
    )
    return sitk.GetArrayFromImage(image)


def _vector_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32), isVector=True)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image
