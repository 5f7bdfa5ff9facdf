"""Segmentations, label maps, models and markups of known content in real MRML scenes."""

import numpy as np
import SimpleITK as sitk
from mrml_fixtures import RAS, matrix, numpy_support, slicer, vtk

from SACBRegistrationLib.imaging.grid import Grid


def oriented(array: np.ndarray, grid: Grid, first=(0, 0, 0)) -> "slicer.vtkOrientedImageData":
    """Voxels [z, y, x] whose index (0, 0, 0) lies at the grid's origin and whose first voxel is `first`."""
    data = slicer.vtkOrientedImageData()
    extent = [(a, a + n - 1) for a, n in zip(first, array.shape[::-1], strict=True)]
    data.SetExtent([value for ends in extent for value in ends])
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True)
    data.GetPointData().SetScalars(scalars)
    to_ras = np.eye(4)
    to_ras[:3, :3] = RAS[:, None] * grid.matrix
    to_ras[:3, 3] = RAS * np.asarray(grid.origin)
    data.SetGeometryFromImageToWorldMatrix(matrix(to_ras))
    return data


def add_segmentation(scene, masks: dict[str, sitk.Image], name="segmentation"):
    """A segmentation with one segment per mask, each in its own layer with its own extent."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for title, mask in masks.items():
        array = sitk.GetArrayFromImage(mask)
        inside = np.argwhere(array)
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        data = oriented(part, Grid.from_image(mask), tuple(int(v) for v in low[::-1]))
        assert node.AddSegmentFromBinaryLabelmapRepresentation(data, title, [1, 0, 0])
    return node


def add_surface_segmentation(scene, surfaces: dict[str, "vtk.vtkPolyData"], name="surfaces"):
    """A segmentation that holds closed surfaces only."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetSourceRepresentationToClosedSurface()
    for title, surface in surfaces.items():
        assert node.AddSegmentFromClosedSurfaceRepresentation(surface, title, [1, 0, 0])
    return node


def sphere(center_lps, radius: float) -> "vtk.vtkPolyData":
    """A sphere's surface in RAS."""
    source = vtk.vtkSphereSource()
    source.SetCenter(*(np.asarray(center_lps) * RAS))
    source.SetRadius(radius)
    source.SetThetaResolution(48)
    source.SetPhiResolution(48)
    source.Update()
    return source.GetOutput()
