"""The displacement field against analytic maps and SimpleITK's own transform."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from field_fixtures import make_case, oblique_grid, phi_of, rotation

from SACBRegistrationLib.imaging.displacement import (
    as_transform,
    compose_displacement,
    displacement_grid,
    map_points,
    write_displacement_field,
)
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.spline import interpolation_matrix


def compose(case, spacing=None, phi=None):
    phi = case.phi() if phi is None else phi
    return compose_displacement(phi, case.network_grid, case.alignment, case.fixed_grid, spacing)


def by_simpleitk(field, points):
    transform = as_transform(field)
    return np.asarray([transform.TransformPoint(point) for point in points])


def largest_distance(first, second):
    return np.linalg.norm(first - second, axis=-1).max()


def test_field_is_alignment_after_deformation_everywhere_in_the_fixed_volume():
    case = make_case()
    points = case.points()
    exact = case.mapped(points)
    assert largest_distance(exact, points) > 60
    assert largest_distance(by_simpleitk(compose(case), points), exact) < 0.02
    assert largest_distance(by_simpleitk(compose(case, 1.0), points), exact) < 0.006
    # The order matters: deforming after aligning is another map.
    aligned = np.asarray([case.alignment.TransformPoint(point) for point in points])
    assert largest_distance(aligned + case.deformation(points), exact) > 0.5


def test_nodes_lie_on_fixed_voxels_and_hold_the_exact_map_there():
    case = make_case()
    field = compose(case)
    index = np.random.default_rng(0).integers(0, case.fixed_grid.size, (300, 3))
    points = case.fixed_grid.to_lps(index)
    nodes = Grid.from_image(field).to_index(points)
    assert np.abs(nodes - np.round(nodes)).max() < 1e-6
    assert largest_distance(by_simpleitk(field, points), case.mapped(points)) < 5e-4


def test_field_on_the_networks_own_voxels_is_not_resampled():
    case = make_case()
    fixed = case.fixed_grid
    reoriented = fixed.reoriented("LIA")
    network = oblique_grid((32, 48, 64), reoriented.spacing, (0, 0, 0), reoriented.axes)
    shift = reoriented.to_lps((3, -5, 4)) - np.asarray(network.origin)
    network = Grid(
        network.size, network.spacing, tuple(np.asarray(network.origin) + shift), network.direction
    )
    phi = torch.randn(1, 3, *network.size, generator=torch.Generator().manual_seed(0))
    identity = sitk.Transform(3, sitk.sitkIdentity)
    field = compose_displacement(phi, network, identity, fixed)
    voxels = np.stack(np.meshgrid(np.arange(4, 28, 5), np.arange(9, 30, 4), np.arange(9, 40, 6)), -1).reshape(
        -1, 3
    )
    points = network.to_lps(voxels)
    inside = ((fixed.to_index(points) > -0.5) & (fixed.to_index(points) < np.array(fixed.size) - 0.5)).all(1)
    assert inside.sum() > 50
    expected = phi[0].numpy()[:, voxels[:, 0], voxels[:, 1], voxels[:, 2]].T @ network.matrix.T
    assert np.abs(map_points(field, points) - points - expected)[inside].max() < 3e-5


@pytest.mark.parametrize("spacing", [None, 2.0, 5.0])
def test_field_reaches_a_node_beyond_every_voxel_edge(spacing):
    case = make_case()
    grid = Grid.from_image(compose(case, spacing))
    corners = grid.to_index(case.fixed_grid.corners(0.5))
    assert corners.min() >= 1 - 1e-6
    assert (np.asarray(grid.size) - 1 - corners).min() >= 1 - 1e-6
    assert np.allclose(grid.direction, case.fixed_grid.direction)


def test_node_spacing_follows_the_request_and_the_budget():
    volume = oblique_grid((100, 80, 20), (0.5, 0.9, 5.0), (3, 4, 5), rotation(10, 20, 30))
    assert displacement_grid(volume, 1.0).spacing == pytest.approx((0.5, 0.9, 1.0))
    assert displacement_grid(volume, 1.0, largest=0).spacing == pytest.approx((1.0, 0.9, 1.0))
    assert displacement_grid(volume, (2.0, 4.0, 2.6), largest=0).spacing == pytest.approx((2.5, 4.5, 2.5))


def test_beyond_the_network_grid_the_deformation_falls_smoothly_to_the_pure_alignment():
    fixed = oblique_grid((60, 40, 36), (3.1, 3.4, 3.9), (5, 6, 7), rotation(15, 10, -20))
    network = oblique_grid((16, 16, 16), (3, 3, 3), (5, 6, 7), fixed.reoriented("RSP").axes)
    alignment = sitk.Euler3DTransform(fixed.center, 0.2, -0.1, 0.3, (30, -20, 10))
    constant = np.array([4.0, -3.0, 2.0])
    phi = phi_of(network, lambda points: np.broadcast_to(constant, points.shape))
    field = compose_displacement(phi, network, alignment, fixed, 3.0)
    matrix = np.asarray(alignment.GetMatrix()).reshape(3, 3)

    def deformation(points):
        aligned = np.asarray([alignment.TransformPoint(point) for point in points])
        return (by_simpleitk(field, points) - aligned) @ matrix

    length = max(20, 4 * np.linalg.norm(constant))
    distances = np.array([-10.0, 0, 0.25 * length, 0.5 * length, 0.75 * length, length, 1.5 * length])
    border = network.center + network.axes[:, 0] * (16 - 1) / 2 * 3
    lengths = deformation(border + distances[:, None] * network.axes[:, 0]) @ constant / (constant @ constant)
    x = np.clip(distances / length, 0, 1)
    assert np.abs(lengths - (1 - x**2 * (3 - 2 * x))).max() < 0.02
    far = fixed.to_lps(np.array([[0, 0, 0], [59, 39, 35]]))
    assert np.abs(deformation(far)).max() < 1e-4


def test_an_alignment_that_is_not_linear_is_followed_exactly():
    linear = make_case()
    center = linear.fixed_grid.center
    bend = sitk.BSplineTransformInitializer(_volume_around(center, 260), [4, 4, 4])
    generator = np.random.default_rng(1)
    bend.SetParameters(generator.normal(0, 5, len(bend.GetParameters())))
    alignment = sitk.CompositeTransform([linear.alignment, bend])
    case = make_case(alignment=alignment)
    points = case.points(200)
    assert largest_distance(by_simpleitk(compose(case), points), case.mapped(points)) < 0.02
    straight = make_case().mapped(points)
    assert largest_distance(straight, case.mapped(points)) > 2


def test_points_are_mapped_as_simpleitk_maps_them():
    case = make_case(amplitude=8.0)
    field = compose(case)
    points = np.concatenate([case.points(300), case.points(300, margin=12)])
    assert largest_distance(map_points(field, points), by_simpleitk(field, points)) < 1e-3
    outside = case.fixed_grid.to_lps(np.array([[-50.0, 10, 10]]))
    assert map_points(field, outside) == pytest.approx(outside)


def test_the_transform_leaves_the_field_usable():
    field = compose(make_case())
    size = field.GetSize()
    as_transform(field)
    assert field.GetSize() == size
    double = sitk.Cast(field, sitk.sitkVectorFloat64)
    as_transform(double)
    assert double.GetSize() == size


def test_written_field_is_read_back_unchanged(tmp_path):
    field = compose(make_case())
    write_displacement_field(field, tmp_path / "transform.nrrd")
    read = sitk.ReadImage(str(tmp_path / "transform.nrrd"))
    assert read.GetPixelID() == sitk.sitkVectorFloat32
    assert np.array_equal(sitk.GetArrayViewFromImage(read), sitk.GetArrayViewFromImage(field))
    assert np.allclose(read.GetDirection(), field.GetDirection(), atol=1e-9)
    assert np.allclose(read.GetOrigin(), field.GetOrigin(), atol=1e-6)


def test_grids_that_do_not_fit_are_refused():
    case = make_case()
    with pytest.raises(ValueError, match="shape"):
        compose(case, phi=torch.zeros(1, 3, 16, 16, 16))
    turned = oblique_grid(
        case.fixed_grid.size, (1, 1, 1), (0, 0, 0), rotation(5, 0, 0) @ case.fixed_grid.axes
    )
    with pytest.raises(ValueError, match="parallel"):
        compose_displacement(case.phi(), case.network_grid, case.alignment, turned)


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_spline_passes_through_its_samples_and_is_flat_outside(size):
    positions = np.arange(size, dtype=float)
    assert np.abs(interpolation_matrix(size, positions) - np.eye(size)).max() < 1e-12
    between = interpolation_matrix(size, np.linspace(-3, size + 2, 60))
    assert np.abs(between.sum(axis=1) - 1).max() < 1e-12
    assert np.allclose(between[0], np.eye(size)[0]) and np.allclose(between[-1], np.eye(size)[-1])


def test_spline_reproduces_a_smooth_curve():
    samples, places = np.arange(60.0), np.linspace(5, 54, 333)
    error = interpolation_matrix(60, places) @ np.sin(samples / 3) - np.sin(places / 3)
    assert np.abs(error).max() < 2e-4


def _volume_around(center, length):
    grid = oblique_grid((10, 10, 10), (length / 10,) * 3, center, np.eye(3))
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    return image
