"""Geometry that must hold on any grid: random turns, both hands, any order of axes; against SimpleITK."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from geometry_strategies import affine_maps, examples, grids, indices_within, numbers
from hypothesis import assume, given
from hypothesis import strategies as st
from oblique import points_of

from SACBRegistrationLib.imaging.displacement import (
    as_transform,
    compose_displacement,
    displacement_grid,
    map_points,
    write_displacement_field,
)
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.inverse import invert_displacement
from SACBRegistrationLib.imaging.jacobian import jacobian_determinant
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.imaging.warping import warp_volume

CODES = [
    "".join(code) for axes in itertools.permutations(("LR", "PA", "SI")) for code in itertools.product(*axes)
]


def field_of(grid: Grid, displacement) -> sitk.Image:
    """Returns a vector image, float32; `displacement` takes LPS points [..., 3] to mm."""
    return array_to_image(np.moveaxis(displacement(points_of(grid)), -1, 0).astype(np.float32), grid)


def waves(amplitude: float, length: float, center: np.ndarray):
    """Returns a smooth displacement of so many mm."""

    def displacement(points: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis((points - center) * 2 * np.pi / length, -1, 0)
        return amplitude * np.stack(
            (np.sin(y + 0.4), np.cos(z + 1) * np.sin(0.7 * x), np.sin(x + 0.5 * y)), -1
        )

    return displacement


def by_simpleitk(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    return np.asarray([transform.TransformPoint(point) for point in points.tolist()])


@given(grids())
@examples(60)
def test_indices_and_points_are_simpleitks(grid):
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    assert Grid.from_image(image) == grid
    indices = indices_within(grid, 20, -3.0)
    points = grid.to_lps(indices)
    theirs = [image.TransformContinuousIndexToPhysicalPoint(index) for index in indices.tolist()]
    np.testing.assert_allclose(points, theirs, atol=1e-9, rtol=0)
    np.testing.assert_allclose(grid.to_index(points), indices, atol=1e-8, rtol=0)


@given(grids(), st.sampled_from(CODES))
@examples(60)
def test_another_order_of_storage_holds_the_same_voxels(grid, codes):
    other = grid.reoriented(codes)
    index = grid.to_index(points_of(other))
    whole = np.rint(index)
    np.testing.assert_allclose(index, whole, atol=1e-8, rtol=0)
    flat = np.ravel_multi_index(whole.reshape(-1, 3).astype(int).T, grid.size)
    assert np.array_equal(np.sort(flat), np.arange(np.prod(grid.size)))
    assert other.reoriented(grid.axis_codes).size == grid.size


@given(grids(), numbers(0.5, 12.0))
@examples(60)
def test_a_fields_lattice_covers_its_volume_on_any_grid(volume, spacing):
    lattice = displacement_grid(volume, spacing)
    index = lattice.to_index(volume.corners(0.5))
    assert (index > 0.5).all() and (index < np.asarray(lattice.size) - 1.5).all()
    nodes = volume.to_index(points_of(lattice))
    step = np.asarray(lattice.spacing) / np.asarray(volume.spacing)
    np.testing.assert_allclose(nodes / step, np.rint(nodes / step), atol=1e-6)


@given(grids(sides=(5, 12)), numbers(-9, 9))
@examples(25)
def test_a_written_field_maps_points_as_before(tmp_path, grid, amplitude):
    field = field_of(grid, waves(amplitude, 80.0, grid.center))
    path = tmp_path / "transform.nrrd"
    write_displacement_field(field, path)
    read = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(field))
    points = grid.to_lps(indices_within(grid, 40))
    theirs = by_simpleitk(sitk.DisplacementFieldTransform(sitk.Cast(read, sitk.sitkVectorFloat64)), points)
    np.testing.assert_allclose(map_points(field, points), theirs, atol=1e-3, rtol=0)


@given(grids(sides=(5, 9)), numbers(-9, 9))
@examples(12)
def test_slicer_reads_a_written_field_alike(tmp_path, grid, amplitude):
    pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
    from test_slicer_transform import by_slicer, load

    field = field_of(grid, waves(amplitude, 80.0, grid.center))
    scene, node = load(field, tmp_path)
    # Between nodes Slicer interpolates with cubics and ITK linearly.
    nodes = points_of(grid)[1:-1, 1:-1, 1:-1].reshape(-1, 3)
    slicers = by_slicer(node.GetTransformFromParent(), nodes)
    np.testing.assert_allclose(slicers, by_simpleitk(as_transform(field), nodes), atol=2e-3, rtol=0)
    assert scene


@given(grids(), affine_maps())
@examples(40)
def test_the_jacobian_of_an_affine_map_is_its_determinant(grid, affine):
    matrix, shift = affine
    field = field_of(grid, lambda points: (points - grid.center) @ (matrix - np.eye(3)).T + shift)
    found = sitk.GetArrayFromImage(jacobian_determinant(field))
    # Float32 holds a displacement of a hundred mm to a hundred-thousandth.
    np.testing.assert_allclose(found, np.linalg.det(matrix), atol=3e-4, rtol=0)


@given(grids(sides=(10, 16), spacings=(2.0, 5.0)), grids(sides=(8, 12), spacings=(2.0, 4.0)), affine_maps())
@examples(8)
def test_the_inverse_leads_back_on_any_pair_of_grids(fixed, moving, affine):
    matrix, shift = affine
    moving = Grid(
        moving.size, moving.spacing, tuple(fixed.center + moving.origin - moving.center), moving.direction
    )
    alignment = sitk.AffineTransform(
        (np.eye(3) + 0.3 * (matrix - np.eye(3))).ravel(), 0.2 * shift, fixed.center
    )
    deformation = waves(2.0, 90.0, fixed.center)

    def displacement(points: np.ndarray) -> np.ndarray:
        moved = (points + deformation(points)).reshape(-1, 3)
        return by_simpleitk(alignment, moved).reshape(points.shape) - points

    field = field_of(displacement_grid(fixed, 2.5), displacement)
    inverse = invert_displacement(field, alignment, moving, fixed)
    points = fixed.to_lps(indices_within(fixed, 300, 1.0))
    there = by_simpleitk(as_transform(field), points)
    index = moving.to_index(there)
    inside = ((index > 0) & (index < np.asarray(moving.size) - 1)).all(axis=1)
    assume(inside.sum() >= 5)
    back = by_simpleitk(as_transform(inverse.displacement_field), there[inside])
    assert np.linalg.norm(back - points[inside], axis=1).max() < 0.2
    assert inverse.residual_p99_mm < 0.1


@given(grids(sides=(14, 20), spacings=(1.5, 4.0)), grids(sides=(4, 7), spacings=(0.5, 5.0)), affine_maps())
@examples(25)
def test_resampling_keeps_a_ramp_on_any_grid(source, target, affine):
    """A linear function is kept by smoothing and by linear interpolation, so that nothing may change it."""
    _, slope = affine
    values = (points_of(source) - source.center) @ slope
    image = array_to_image(values.astype(np.float32), source)
    origin = source.center + np.asarray(target.origin) - target.center
    target = Grid(target.size, target.spacing, tuple(origin), target.direction)
    found = sitk.GetArrayFromImage(resample(image, target)).transpose(2, 1, 0)
    points = points_of(target)
    # As far inside as the smoothing reaches: three standard deviations of a voxel's width.
    margin = 1 + 1.3 * max(target.spacing) / np.asarray(source.spacing)
    index = source.to_index(points)
    inside = ((index > margin) & (index < np.asarray(source.size) - 1 - margin)).all(axis=-1)
    assume(inside.sum() >= 5)
    expected = (points - source.center) @ slope
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3 * max(1, np.abs(values).max()))


@given(grids(sides=(8, 14), spacings=(1.0, 4.0)), affine_maps(), numbers(-3, 3))
@examples(15)
def test_warping_is_simpleitks_resampling_on_any_grid(grid, affine, amplitude):
    _, slope = affine
    moving = array_to_image(np.sin((points_of(grid) - grid.center) @ slope / 400).astype(np.float32), grid)
    field = field_of(displacement_grid(grid, 2.0), waves(amplitude, 70.0, grid.center))
    ours = sitk.GetArrayFromImage(warp_volume(moving, field, grid, default=-2.0))
    theirs = sitk.GetArrayFromImage(grid.resample(moving, as_transform(field), default=-2.0))
    # At the very edge, rounding decides whether a point is still inside.
    assert np.mean(np.abs(ours - theirs) > 1e-3) < 0.01


@given(grids(sides=(8, 12), spacings=(2.0, 4.0)), st.sampled_from(CODES), affine_maps())
@examples(15)
def test_a_composed_field_is_the_map_it_is_composed_of(fixed, codes, affine):
    import torch

    matrix, shift = affine
    alignment = sitk.AffineTransform(matrix.ravel(), shift, fixed.center)
    network = fixed.reoriented(codes)
    field = compose_displacement(torch.zeros(1, 3, *network.size), network, alignment, fixed)
    points = fixed.to_lps(indices_within(fixed, 50, -0.5))
    mapped = by_simpleitk(as_transform(field), points)
    np.testing.assert_allclose(mapped, by_simpleitk(alignment, points), atol=2e-3, rtol=0)
