"""How the volumes of a result look when they are first shown."""

import slicer

_MAGNITUDE_COLORS = "vtkMRMLColorTableNodeFileViridis.txt"
_JACOBIAN_COLORS = "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"


def show_like(volume: slicer.vtkMRMLScalarVolumeNode, model: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Shows a volume with the window, level and colours of another one with the same intensities.

    Computing them anew from the voxels would stall a window.
    """
    display, other = _display(volume), model.GetScalarVolumeDisplayNode()
    if other is None:
        display.SetAutoWindowLevel(True)
        return
    modifying = display.StartModify()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(other.GetWindow(), other.GetLevel())
    if other.GetColorNodeID():
        display.SetAndObserveColorNodeID(other.GetColorNodeID())
    display.EndModify(modifying)


def show_magnitude(volume: slicer.vtkMRMLScalarVolumeNode, largest: float) -> None:
    """Shows displacement lengths from 0 to the largest, mm."""
    _show(volume, 0.0, max(largest, 1e-3), _MAGNITUDE_COLORS)


def show_jacobian(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Shows Jacobian determinants from 0 (folding) over 1 (no change) to 2 (twice the size)."""
    _show(volume, 0.0, 2.0, _JACOBIAN_COLORS)


def _show(volume: slicer.vtkMRMLScalarVolumeNode, low: float, high: float, colors: str) -> None:
    display = _display(volume)
    modifying = display.StartModify()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    # The colour nodes belong to Slicer; a bare scene has none, and the volume is then grey.
    if volume.GetScene().GetNodeByID(colors) is not None:
        display.SetAndObserveColorNodeID(colors)
    display.EndModify(modifying)


def _display(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeDisplayNode:
    display = volume.GetScalarVolumeDisplayNode()
    if display is None:
        display = volume.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        # Else it looks through all voxels at once, for a window that is replaced anyway.
        display.SetAutoWindowLevel(False)
        volume.SetAndObserveDisplayNodeID(display.GetID())
    return display
