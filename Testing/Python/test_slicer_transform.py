"""The written transform in Slicer's own classes (slicer-core, real MRML) against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from field_fixtures import make_case, smooth_image

from SACBRegistrationLib.imaging.displacement import (
    as_transform,
    compose_displacement,
    map_points,
    write_displacement_field,
)
from SACBRegistrationLib.imaging.inverse import invert_displacement
from SACBRegistrationLib.imaging.warping import warp_volume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
vtk = pytest.importorskip("vtk", reason="vtk is not installed: run.py setup installs it")
numpy_support = pytest.importorskip("vtkmodules.util.numpy_support")

RAS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def field(case):
    return compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid, 1.0)


def load(field, folder):
    """Lets Slicer read the written field; returns the scene, which owns the node, and the node."""
    path = folder / "transform.nrrd"
    write_displacement_field(field, path)
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    assert isinstance(storage, slicer.vtkMRMLTransformStorageNode)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return scene, node


def by_slicer(transform, points):
    """Maps LPS points with a transform in RAS."""
    inputs, outputs = vtk.vtkPoints(), vtk.vtkPoints()
    inputs.SetDataTypeToDouble()
    outputs.SetDataTypeToDouble()
    inputs.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points * RAS), deep=True))
    transform.TransformPoints(inputs, outputs)
    return numpy_support.vtk_to_numpy(outputs.GetData()) * RAS


def by_simpleitk(field, points):
    transform = as_transform(field)
    return np.asarray([transform.TransformPoint(point) for point in points])


def edge_points(grid, count=300):
    """Points on the outermost faces of the volume, voxel edges included."""
    generator = np.random.default_rng(5)
    index = generator.uniform(-0.5, np.asarray(grid.size) - 0.5, (count, 3))
    axis = generator.integers(0, 3, count)
    end = generator.integers(0, 2, count)
    index[np.arange(count), axis] = np.where(end, np.asarray(grid.size)[axis] - 0.5, -0.5)
    return grid.to_lps(index)


def test_slicers_node_holds_a_displacement_from_fixed_to_moving(case, field, tmp_path):
    scene, node = load(field, tmp_path)
    assert scene.GetNumberOfNodesByClass("vtkMRMLGridTransformNode") == 1
    # Slicer resamples through the transform FROM parent; the other direction is computed from it.
    assert node.GetTransformFromParent().IsA("vtkOrientedGridTransform")
    assert not node.GetTransformFromParent().GetInverseFlag()


def test_slicer_maps_points_as_simpleitk_everywhere_in_the_fixed_volume(case, field, tmp_path):
    scene, node = load(field, tmp_path)
    points = np.concatenate([case.points(3000), edge_points(case.fixed_grid), case.fixed_grid.corners(0.5)])
    slicers = by_slicer(node.GetTransformFromParent(), points)
    simpleitks = by_simpleitk(field, points)
    assert np.linalg.norm(simpleitks - points, axis=1).min() > 20
    assert np.linalg.norm(slicers - simpleitks, axis=1).max() < 0.01
    assert np.linalg.norm(slicers - map_points(field, points), axis=1).max() < 0.01
    assert np.linalg.norm(slicers - case.mapped(points), axis=1).max() < 0.01
    assert scene


def test_a_rough_deformation_still_agrees_on_every_fixed_voxel(case, tmp_path):
    # Slicer interpolates fields with cubics and ITK linearly, so only nodes on the voxels make them agree.
    noise = torch.randn(case.phi().shape, generator=torch.Generator().manual_seed(2)) * 0.3
    field = compose_displacement(case.phi() + noise, case.network_grid, case.alignment, case.fixed_grid)
    scene, node = load(field, tmp_path)
    index = np.random.default_rng(0).integers(0, case.fixed_grid.size, (3000, 3))
    points = case.fixed_grid.to_lps(index)
    slicers, simpleitks = by_slicer(node.GetTransformFromParent(), points), by_simpleitk(field, points)
    assert np.linalg.norm(slicers - simpleitks, axis=1).max() < 1e-3
    between = case.fixed_grid.to_lps(index + 0.5)
    apart = by_slicer(node.GetTransformFromParent(), between) - by_simpleitk(field, between)
    assert np.linalg.norm(apart, axis=1).max() > 0.05
    assert scene


def test_slicers_inverse_agrees_with_ours(case, field, tmp_path):
    scene, node = load(field, tmp_path)
    inverse = invert_displacement(field, case.alignment, case.moving_grid, case.fixed_grid, 1.0)
    points = case.points(500, margin=-6)
    moved = by_simpleitk(field, points)
    index = case.moving_grid.to_index(moved)
    moved = moved[((index > 0) & (index < np.asarray(case.moving_grid.size) - 1)).all(axis=1)]
    assert len(moved) > 100
    slicers = by_slicer(node.GetTransformToParent(), moved)
    assert np.linalg.norm(slicers - by_simpleitk(inverse.displacement_field, moved), axis=1).max() < 0.05
    assert scene


def test_resampling_with_vtk_through_slicers_transform_gives_our_warped_volume(case, field, tmp_path):
    scene, node = load(field, tmp_path)
    moving = smooth_image(case.moving_grid)
    fixed = case.fixed_grid
    warped = sitk.GetArrayFromImage(warp_volume(moving, field, fixed))

    # Fixed voxel, RAS, through Slicer's transform, moving RAS, moving voxel: as Slicer's resampling goes.
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(index_to_ras(fixed))
    chain.Concatenate(node.GetTransformFromParent())
    chain.Concatenate(inverted(index_to_ras(case.moving_grid)))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(vtk_image(moving))
    reslice.SetResliceTransform(chain)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(0, fixed.size[0] - 1, 0, fixed.size[1] - 1, 0, fixed.size[2] - 1)
    reslice.BorderOff()
    reslice.Update()
    scalars = reslice.GetOutput().GetPointData().GetScalars()
    slicers = numpy_support.vtk_to_numpy(scalars).reshape(fixed.size[::-1])

    index = np.stack(np.meshgrid(*(np.arange(n) for n in fixed.size), indexing="ij"), -1).reshape(-1, 3)
    place = case.moving_grid.to_index(map_points(field, fixed.to_lps(index)))
    inside = ((place > 0.1) & (place < np.asarray(case.moving_grid.size) - 1.1)).all(axis=1)
    inside = inside.reshape(fixed.size).transpose(2, 1, 0)
    assert inside.mean() > 0.3
    assert np.ptp(warped[inside]) > 300
    assert np.abs(slicers - warped)[inside].max() < 0.5
    assert scene


def test_the_inverse_file_opens_in_slicer_too(case, field, tmp_path):
    inverse = invert_displacement(field, case.alignment, case.moving_grid, case.fixed_grid).displacement_field
    scene, node = load(inverse, tmp_path)
    points = case.moving_grid.to_lps(np.random.default_rng(0).integers(0, case.moving_grid.size, (2000, 3)))
    slicers, simpleitks = by_slicer(node.GetTransformFromParent(), points), by_simpleitk(inverse, points)
    assert np.linalg.norm(simpleitks - points, axis=1).min() > 20
    assert np.linalg.norm(slicers - simpleitks, axis=1).max() < 1e-3
    assert scene


def index_to_ras(grid):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = grid.matrix * RAS[:, None], np.asarray(grid.origin) * RAS
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix.ravel())
    return transform


def inverted(transform):
    inverse = vtk.vtkTransform()
    inverse.DeepCopy(transform)
    inverse.Inverse()
    return inverse


def vtk_image(image):
    """The voxels as VTK data with unit spacing, as MRML volume nodes hold them."""
    data = vtk.vtkImageData()
    data.SetDimensions(image.GetSize())
    array = sitk.GetArrayFromImage(image)
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(array.ravel(), deep=True))
    return data
