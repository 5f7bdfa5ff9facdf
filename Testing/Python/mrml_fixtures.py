"""Real MRML scenes for tests, and Slicer's own answers to compare with."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

REASON = "slicer-core is not installed: run.py setup installs it"
slicer = pytest.importorskip("slicer", reason=REASON)
vtk = pytest.importorskip("vtk", reason=REASON)
numpy_support = pytest.importorskip("vtk.util.numpy_support", reason=REASON)

RAS = np.array([-1.0, -1.0, 1.0])


def matrix(array) -> "vtk.vtkMatrix4x4":
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(array, float).ravel().tolist())
    return result


def add_linear(scene, array, name="linear"):
    """A linear transform node whose transform TO parent is the [4, 4] RAS array."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(matrix(array))
    return node


def by_slicer(transform, points: np.ndarray) -> np.ndarray:
    """Maps LPS points [n, 3] with a VTK transform in RAS."""
    return np.array([transform.TransformDoublePoint(*(point * RAS)) for point in points]) * RAS


def voxel_in_world(node, index) -> np.ndarray:
    """Where Slicer sees the centre of voxel (i, j, k), RAS mm, all transforms above the node included."""
    to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    local = to_ras.MultiplyPoint((*map(float, index), 1.0))[:3]
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(local, world)
    return np.array(world)


def value_in_node(node, index):
    """The voxel (i, j, k) as VTK itself finds it."""
    return node.GetImageData().GetScalarComponentAsDouble(*map(int, index), 0)


def some_indices(size, count=60, seed=2) -> np.ndarray:
    """Random voxels [n, 3], the eight corners among them."""
    corners = np.stack(np.meshgrid(*((0, n - 1) for n in size), indexing="ij"), -1).reshape(-1, 3)
    return np.concatenate([corners, np.random.default_rng(seed).integers(0, size, (count, 3))])


def physical(image: sitk.Image, indices: np.ndarray) -> np.ndarray:
    """Voxel centres [n, 3] LPS mm, by SimpleITK."""
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices.tolist()])


def saved_and_loaded(scene, folder: Path):
    """Writes all data and the scene file as Slicer's save dialog does, and reads it into a new scene."""
    folder.mkdir()
    scene.SetURL(str(folder / "scene.mrml"))
    scene.SetRootDirectory(str(folder))
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = scene.GetNthNodeByClass(number, "vtkMRMLStorableNode")
        if node.GetSaveWithScene() and node.GetDefaultStorageNodeClassName():
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            name = f"{number}.{storage.GetDefaultWriteFileExtension()}"
            storage.SetFileName(str(folder / name))
            assert storage.WriteData(node) == 1, node.GetName()
    assert scene.Commit() == 1
    loaded = slicer.vtkMRMLScene()
    loaded.SetURL(str(folder / "scene.mrml"))
    assert loaded.Connect() == 1
    return loaded


def resampled_by_slicer(moving_node, fixed_node, transform) -> np.ndarray:
    """The moving volume on the fixed voxels, [z, y, x], through a transform from fixed RAS to moving RAS."""
    fixed_to_ras, ras_to_moving = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    fixed_node.GetIJKToRASMatrix(fixed_to_ras)
    moving_node.GetRASToIJKMatrix(ras_to_moving)
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(fixed_to_ras)
    chain.Concatenate(transform)
    chain.Concatenate(ras_to_moving)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(moving_node.GetImageData())
    reslice.SetResliceTransform(chain)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(fixed_node.GetImageData().GetExtent())
    reslice.BorderOff()
    reslice.Update()
    output = reslice.GetOutput()
    scalars = numpy_support.vtk_to_numpy(output.GetPointData().GetScalars())
    return scalars.reshape(output.GetDimensions()[::-1]).copy()


def mapped(transform: sitk.Transform, points) -> np.ndarray:
    return np.array([transform.TransformPoint(point) for point in np.asarray(points).tolist()])


def distance(a, b) -> float:
    return float(np.linalg.norm(np.subtract(a, b), axis=-1).max())


def world_points(scene, points, transform_node) -> np.ndarray:
    """Where Slicer shows LPS points [n, 3] of a markups node under a transform node, LPS."""
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    for point in points * RAS:
        markups.AddControlPoint(*point)
    markups.SetAndObserveTransformNodeID(transform_node.GetID())
    world = np.zeros((len(points), 3))
    for number in range(len(points)):
        markups.GetNthControlPointPositionWorld(number, world[number])
    return world * RAS
