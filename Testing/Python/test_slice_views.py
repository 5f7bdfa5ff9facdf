"""The settings behind the slice views: layers, zoom, checkerboards and how a field is drawn."""

import time

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import add_linear, saved_and_loaded, slicer, vtk
from oblique import oblique_grid

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.mrml.field_view import FieldView, displacement_colors, round_length, show_field
from SACBRegistrationLib.mrml.slice_views import checkerboard, fit_slices, show_volumes
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_view

GRID = oblique_grid((30, 26, 20), (1.1, 1.7, 2.3))


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def add_volume(scene, values: np.ndarray, grid: Grid = GRID, window=None):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    image_to_volume(array_to_image(values, grid), node)
    if window is not None:
        display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*window)
        node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def add_field(scene, length: float, grid: Grid = GRID):
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(*grid.size[::-1], 3))
    vectors *= length * rng.random((*grid.size[::-1], 1)) / np.linalg.norm(vectors, axis=-1, keepdims=True)
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    displacement_to_grid_transform(image, node)
    return node


def ramp(low: float, high: float, kind) -> np.ndarray:
    return np.linspace(low, high, int(np.prod(GRID.size))).reshape(GRID.size).astype(kind)


def test_layers_of_all_views_are_set_and_emptied(scene):
    composites = [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(3)]
    back, front = (add_volume(scene, ramp(0, 9, np.float32)) for _ in range(2))
    label = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    show_volumes(scene, back, front, label, 0.3, 0.7)
    for node in composites:
        found = node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetLabelVolumeID()
        assert found == (back.GetID(), front.GetID(), label.GetID())
        assert (node.GetForegroundOpacity(), node.GetLabelOpacity()) == (0.3, 0.7)
    show_volumes(scene, front)
    for node in composites:
        assert node.GetBackgroundVolumeID() == front.GetID()
        assert not node.GetForegroundVolumeID() and not node.GetLabelVolumeID()


@pytest.mark.parametrize("turned", [False, True])
def test_views_are_fitted_to_the_volume_where_it_lies(scene, turned):
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    volume = add_volume(scene, ramp(0, 9, np.float32))
    if turned:
        above = add_linear(scene, [[0, -1, 0, 5], [1, 0, 0, -8], [0, 0, 1, 20], [0, 0, 0, 1]])
        volume.SetAndObserveTransformNodeID(above.GetID())
    slices = []
    for orientation in ("Axial", "Coronal", "Sagittal"):
        node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        node.SetOrientation(orientation)
        node.SetDimensions(300, 200, 1)
        slices.append(node)
    fit_slices(scene, volume)
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    center = bounds.reshape(3, 2).mean(axis=1)
    for node, normal in zip(slices, (2, 1, 0), strict=True):
        to_ras = node.GetSliceToRAS()
        middle = np.array([to_ras.GetElement(row, 3) for row in range(3)])
        np.testing.assert_allclose(middle, center, atol=1e-3)
        field = np.array(node.GetFieldOfView()[:2])
        assert field[0] / field[1] == pytest.approx(1.5)
        across = np.delete(np.ptp(bounds.reshape(3, 2), axis=1), normal)
        assert (field >= across[:: -1 if normal == -1 else 1] * 0.999).all()
        assert (field / across).min() < 1.1


@pytest.mark.parametrize("kinds", [(np.int16, np.float32), (np.uint8, np.float64), (np.float32, np.int32)])
def test_checkerboard_alternates_between_windowed_volumes(scene, kinds):
    first, second = ramp(0, 250, kinds[0]), ramp(1000, 10, kinds[1])
    windows = ((50.0, 200.0), (100.0, 900.0))
    nodes = [add_volume(scene, v, window=w) for v, w in zip((first, second), windows, strict=True)]
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    squares = 5
    checkerboard(*nodes, output, squares)
    board, grid = volume_view(output)
    np.testing.assert_allclose(grid.corners(), GRID.corners(), atol=1e-9)
    size = max(n * s for n, s in zip(GRID.size, GRID.spacing, strict=True)) / squares
    shown = [
        np.clip((v.astype(float) - low) / (high - low), 0, 1) * 255
        for v, (low, high) in zip((first, second), windows, strict=True)
    ]
    seen = set()
    for index in np.random.default_rng(1).integers(0, GRID.size, (400, 3)):
        which = int(sum((index + 0.5) * GRID.spacing // size) % 2)
        seen.add(which)
        assert board[tuple(index[::-1])] == pytest.approx(shown[which][tuple(index)], abs=1.01)
    assert seen == {0, 1}
    display = output.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 255)


def test_checkerboard_again_needs_no_new_node_and_no_new_voxels(scene):
    nodes = [add_volume(scene, ramp(0, 9, np.float32), window=(0, 9)) for _ in range(2)]
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    checkerboard(*nodes, output, 4)
    data, count = output.GetImageData(), scene.GetNumberOfNodes()
    modified = data.GetMTime()
    checkerboard(*nodes, output, 7)
    assert output.GetImageData() is data and data.GetMTime() > modified
    assert scene.GetNumberOfNodes() == count


def test_checkerboard_of_volumes_without_display_uses_their_range(scene):
    nodes = [add_volume(scene, ramp(*limits, np.float32)) for limits in ((-5, 5), (100, 900))]
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    checkerboard(*nodes, output, 3)
    board = volume_view(output)[0]
    expected = ramp(0, 255, np.float32).transpose(2, 1, 0)
    np.testing.assert_allclose(board, expected, atol=1.01)


def test_checkerboard_refuses_volumes_on_different_voxels(scene):
    first = add_volume(scene, ramp(0, 9, np.float32))
    moved = add_volume(
        scene, ramp(0, 9, np.float32), oblique_grid((30, 26, 20), (1.1, 1.7, 2.3), (12, -31, 48))
    )
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(UserError, match="do not have the same voxels"):
        checkerboard(first, moved, output, 4)
    assert output.GetImageData() is None
    with pytest.raises(ValueError, match="at least one square"):
        checkerboard(first, first, output, 0)


def test_checkerboard_does_not_stall_a_window(scene):
    grid = Grid((160, 192, 224), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    values = np.random.default_rng(0).integers(0, 900, grid.size)
    nodes = [add_volume(scene, values.astype(kind), grid, (0, 900)) for kind in (np.int16, np.float32)]
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    times = []
    for squares in (8, 8, 8, 40):
        started = time.perf_counter()
        checkerboard(*nodes, output, squares)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1


@pytest.mark.parametrize("view", [FieldView.GRID, FieldView.GLYPHS, FieldView.CONTOURS])
def test_field_is_shown_in_slices_at_true_scale(scene, view):
    node = add_field(scene, 6.0)
    show_field(node, view)
    display = node.GetDisplayNode()
    modes = {
        FieldView.GRID: display.VIS_MODE_GRID,
        FieldView.GLYPHS: display.VIS_MODE_GLYPH,
        FieldView.CONTOURS: display.VIS_MODE_CONTOUR,
    }
    assert display.GetVisualizationMode() == modes[view]
    assert display.GetVisibility() and display.GetVisibility2D() and not display.GetVisibility3D()
    assert (display.GetGlyphScalePercent(), display.GetGridScalePercent()) == (100, 100)
    low, high = display.GetScalarRange()
    assert 0 <= low < 1 and 5 < high <= 6
    points = vtk.vtkPolyData()
    logic = slicer.vtkSlicerTransformLogic
    extent = float(max(GRID.extent))
    corner = vtk.vtkMatrix4x4()
    for row, value in enumerate(GRID.center * (-1, -1, 1) - (extent / 2, extent / 2, 0)):
        corner.SetElement(row, 3, value)
    assert logic.GetVisualization2d(points, display, corner, [0.0, 0.0], [extent, extent])
    assert points.GetNumberOfPoints() > 100


def test_switching_the_field_off_and_on_leaves_no_nodes_behind(scene):
    node = add_field(scene, 6.0)
    show_field(node, FieldView.OFF)
    assert node.GetDisplayNode() is None
    show_field(node, FieldView.GRID)
    count = scene.GetNumberOfNodes()
    for view in (*FieldView, *FieldView):
        show_field(node, view)
    show_field(node, FieldView.OFF)
    assert not node.GetDisplayNode().GetVisibility()
    other = add_field(scene, 2.0)
    show_field(other, FieldView.GLYPHS)
    # The other transform and its display node; the colours are shared.
    assert scene.GetNumberOfNodes() == count + 2


def test_spacing_follows_the_size_of_the_region(scene):
    node = add_field(scene, 0.5)
    show_field(node, FieldView.GRID)
    small = node.GetDisplayNode().GetGridSpacingMm()
    large = oblique_grid((40, 30, 20), (10.0, 9.0, 8.0))
    region = add_volume(scene, np.zeros(large.size, np.float32), large)
    show_field(node, FieldView.GRID, region)
    display = node.GetDisplayNode()
    assert display.GetRegionNode() is region
    assert display.GetGridSpacingMm() == round_length(400 / 26) > 5 * small
    assert display.GetGridResolutionMm() < display.GetGridSpacingMm()
    show_field(node, FieldView.GRID)
    assert display.GetRegionNode() is None and display.GetGridSpacingMm() == small


def test_arrows_are_as_far_apart_as_they_are_long_but_not_too_few(scene):
    spacings = []
    for length in (0.1, 5.0, 500.0):
        node = add_field(scene, length)
        show_field(node, FieldView.GLYPHS)
        spacings.append(node.GetDisplayNode().GetGlyphSpacingMm())
    extent = float(GRID.extent.max())
    assert spacings[0] == round_length(extent / 32)
    assert spacings == sorted(spacings) and extent / spacings[-1] >= 12


def test_contours_lie_within_the_displacements(scene):
    node = add_field(scene, 8.0)
    show_field(node, FieldView.CONTOURS)
    display = node.GetDisplayNode()
    levels = [float(level) for level in display.GetContourLevelsMmAsString().split()]
    low, high = display.GetScalarRange()
    assert 3 <= len(levels) <= 8 and low < levels[0] and levels[-1] <= high
    assert np.ptp(np.diff(levels)) < 1e-6


def test_fields_without_variation_can_be_shown(scene):
    node = add_field(scene, 0.0)
    for view in FieldView:
        show_field(node, view)


def test_transform_without_a_field_is_refused(scene):
    for class_name in ("vtkMRMLGridTransformNode", "vtkMRMLLinearTransformNode"):
        node = scene.AddNewNodeByClass(class_name, "mine")
        with pytest.raises(UserError, match='"mine" holds no displacement field'):
            show_field(node, FieldView.GRID)
        assert node.GetDisplayNode() is None
        show_field(node, FieldView.OFF)


def test_shown_field_survives_the_scene_file(scene, tmp_path):
    node = add_field(scene, 6.0)
    show_field(node, FieldView.GLYPHS)
    loaded = saved_and_loaded(scene, tmp_path / "scene")
    found = loaded.GetFirstNodeByClass("vtkMRMLGridTransformNode").GetDisplayNode()
    display = node.GetDisplayNode()
    for name in ("GetVisualizationMode", "GetGlyphSpacingMm", "GetVisibility", "GetVisibility2D"):
        assert getattr(found, name)() == getattr(display, name)()
    color, same = [0.0] * 3, [0.0] * 3
    for value in (1.0, 4.0):
        display.GetColorMap().GetColor(value, color)
        found.GetColorMap().GetColor(value, same)
        assert same == pytest.approx(color, abs=1e-3)


@pytest.mark.parametrize(
    ("length", "expected"), [(7.3, 8), (0.26, 0.3), (1, 1), (44, 40), (9.6, 10), (0, 1e-6)]
)
def test_lengths_are_rounded_to_plain_numbers(length, expected):
    assert round_length(length) == pytest.approx(expected)


def test_colours_span_the_displacements():
    colors = displacement_colors(2.0, 9.0)
    assert colors.GetRange() == (2.0, 9.0)
    assert displacement_colors(3.0, 3.0).GetSize() == 5
