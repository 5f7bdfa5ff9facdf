"""What slice views show: volumes on top of each other, where to look, and two volumes as a checkerboard."""

import numpy as np
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.volumes import set_volume_data, volume_view
from SACBRegistrationLib.mrml.vtk_images import (
    RAS_AXES,
    empty_image_data,
    image_data_to_array,
    matrix_to_array,
)

_SAME_PLACE_MM = 1e-3


def show_volumes(
    scene: slicer.vtkMRMLScene,
    background: slicer.vtkMRMLVolumeNode | None,
    foreground: slicer.vtkMRMLVolumeNode | None = None,
    label: slicer.vtkMRMLLabelMapVolumeNode | None = None,
    foreground_opacity: float = 0.5,
    label_opacity: float = 0.5,
) -> None:
    """Shows volumes in all slice views; a layer without a volume becomes empty.

    Args:
        scene: The scene.
        background: Lowest layer.
        foreground: Middle layer.
        label: Topmost layer.
        foreground_opacity: 0 to 1.
        label_opacity: 0 to 1.
    """
    for composite in _nodes(scene, "vtkMRMLSliceCompositeNode"):
        modifying = composite.StartModify()
        composite.SetBackgroundVolumeID(None if background is None else background.GetID())
        composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
        composite.SetLabelVolumeID(None if label is None else label.GetID())
        composite.SetForegroundOpacity(foreground_opacity)
        composite.SetLabelOpacity(label_opacity)
        composite.EndModify(modifying)


def fit_slices(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode, margin: float = 1.05
) -> None:
    """Moves all slice views to the middle of a volume and zooms so that the whole of it is seen.

    Args:
        scene: The scene.
        volume: Volume to look at.
        margin: Size of the view in units of the volume's.

    Raises:
        UserError: When the volume cannot be used; see `volume_view`.
    """
    grid = volume_view(volume)[1]
    corners = grid.corners() * RAS_AXES
    center = grid.center * RAS_AXES
    for node in _nodes(scene, "vtkMRMLSliceNode"):
        axes = matrix_to_array(node.GetSliceToRAS())[:3, :3]
        across = np.ptp(corners @ axes, axis=0)[:2]
        pixels = np.maximum(node.GetDimensions()[:2], 1)
        # Millimetres per pixel are the same both ways, else the anatomy is stretched.
        size = margin * float((across / pixels).max()) * pixels
        modifying = node.StartModify()
        node.JumpSliceByCentering(*center)
        node.SetFieldOfView(float(size[0]), float(size[1]), node.GetFieldOfView()[2])
        node.EndModify(modifying)


def checkerboard(
    fixed_node: slicer.vtkMRMLScalarVolumeNode,
    warped_node: slicer.vtkMRMLScalarVolumeNode,
    output_node: slicer.vtkMRMLScalarVolumeNode,
    squares: int,
) -> None:
    """Fills a volume with cubes that alternate between two volumes.

    Each volume is taken as its own window and level show it, so that different scales of intensity do not
    matter; the result has 256 grey values.

    Args:
        fixed_node: One volume.
        warped_node: The other one, on the same voxels.
        output_node: Volume that is filled; its own window is set too.
        squares: Number of squares along the longest side, at least 1. All are of one size in mm.

    Raises:
        UserError: When the volumes do not have the same voxels, or one of them cannot be used.
        ValueError: When there is not at least one square.
    """
    if squares < 1:
        raise ValueError(f"a checkerboard needs at least one square, not {squares}")
    fixed, grid = volume_view(fixed_node)
    warped, other = volume_view(warped_node)
    if not _same_place(grid, other):
        raise UserError(
            f'"{fixed_node.GetName()}" and "{warped_node.GetName()}" do not have the same voxels; '
            "choose the fixed volume and the warped volume of one registration."
        )
    data = _output_data(output_node, fixed.shape)
    board = image_data_to_array(data)
    odd_z, odd_y, odd_x = (_odd(grid, axis, squares) for axis in (2, 1, 0))
    odd = odd_y[:, None] ^ odd_x
    sources = ((fixed, *_window(fixed_node, fixed)), (warped, *_window(warped_node, warped)))
    grey = np.empty(fixed.shape[1:], np.float32)
    # Slice by slice all intermediate values stay in the processor's cache.
    for z in range(fixed.shape[0]):
        for (values, low, scale), shown in zip(sources, (odd == odd_z[z], odd != odd_z[z]), strict=True):
            np.subtract(values[z], low, out=grey, dtype=np.float32, casting="unsafe")
            np.multiply(grey, scale, out=grey)
            np.clip(grey, 0, 255, out=grey)
            np.copyto(board[z], grey, where=shown, casting="unsafe")
    data.Modified()
    modifying = output_node.StartModify()
    set_volume_data(output_node, data, grid)
    _show_all_greys(output_node)
    output_node.EndModify(modifying)


def _odd(grid: Grid, axis: int, squares: int) -> np.ndarray:
    """Returns which indices along an axis lie in an odd square."""
    size = float(grid.extent.max()) / squares
    return (np.arange(grid.size[axis]) + 0.5) * grid.spacing[axis] // size % 2 == 1


def _window(node: slicer.vtkMRMLScalarVolumeNode, values: np.ndarray) -> tuple[np.float32, np.float32]:
    """Returns the value shown black, and grey values (of 255) per unit."""
    display = node.GetScalarVolumeDisplayNode()
    if display is None:
        low, width = float(values.min()), float(np.ptp(values))
    else:
        width = display.GetWindow()
        low = display.GetLevel() - width / 2
    return np.float32(low), np.float32(255 / (width or 1.0))


def _output_data(node: slicer.vtkMRMLScalarVolumeNode, shape: tuple[int, ...]) -> vtk.vtkImageData:
    """Returns the node's own voxels where they have the right size and type, else new ones."""
    data = node.GetImageData()
    if (
        data is not None
        and data.GetDimensions() == shape[::-1]
        and data.GetExtent()[::2] == (0, 0, 0)
        and data.GetScalarType() == vtk.VTK_UNSIGNED_CHAR
        and data.GetNumberOfScalarComponents() == 1
    ):
        return data
    return empty_image_data(shape, np.dtype(np.uint8))


def _show_all_greys(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    display = node.GetScalarVolumeDisplayNode()
    if display is None:
        display = node.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        node.SetAndObserveDisplayNodeID(display.GetID())
    modifying = display.StartModify()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 255)
    display.EndModify(modifying)


def _same_place(grid: Grid, other: Grid) -> bool:
    return grid.size == other.size and bool(abs(grid.corners() - other.corners()).max() < _SAME_PLACE_MM)


def _nodes(scene: slicer.vtkMRMLScene, class_name: str) -> list:
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]
