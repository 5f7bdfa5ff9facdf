"""How a displacement field is drawn in slice views: grid, arrows or contours, of sizes that read well."""

from enum import Enum

import numpy as np
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.volumes import volume_view
from SACBRegistrationLib.mrml.vtk_images import image_data_to_array

_COLORS_TAG = "SACBRegistrationDisplacement"

# Small to large displacements, all brighter than the anatomy beneath them.
_COLORS = ((0.35, 0.85, 1.0), (0.45, 1.0, 0.55), (1.0, 0.95, 0.3), (1.0, 0.55, 0.2), (1.0, 0.25, 0.45))

# Stands out from bright and from dark tissue.
_LINES = (1.0, 0.45, 0.1)

# Cells, arrows and contour samples along the longest side of the volume.
_CELLS, _ARROWS, _SAMPLES = 26, 32, 90
_FEWEST_ARROWS = 15
_CONTOURS = 4.5
# Points of a grid cell's side; a line bends only there.
_BENDS = 3


class FieldView(Enum):
    """What a transform node shows of its displacement field."""

    OFF = "off"
    GRID = "grid"
    GLYPHS = "glyphs"
    CONTOURS = "contours"


def show_field(
    transform_node: slicer.vtkMRMLGridTransformNode,
    view: FieldView,
    region: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> None:
    """Draws a displacement field in the slice views, or stops drawing it.

    Slicer draws what the node does to things below it, moving to fixed: a grid that is regular in the moving
    volume as it lands on the fixed one, and arrows of true length from where a point is to where it lands.

    Args:
        transform_node: Node with the field as its transform from parent, in a scene.
        view: What to draw.
        region: Volume whose size decides the spacing of lines and arrows; None takes the field's own size.

    Raises:
        UserError: When the node holds no displacement field, or the volume cannot be used.
    """
    if view is FieldView.OFF:
        _hide(transform_node)
        return
    magnitudes, extent = _field(transform_node)
    if region is not None:
        extent = float(volume_view(region)[1].extent.max())
    low, high = (float(value) for value in np.percentile(magnitudes, (1, 99)))
    transform_node.CreateDefaultDisplayNodes()
    display = transform_node.GetDisplayNode()
    modifying = display.StartModify()
    display.SetAndObserveRegionNode(region)
    if view is FieldView.GRID:
        _set_grid(display, extent)
    elif view is FieldView.GLYPHS:
        _set_glyphs(display, extent, high, float(magnitudes.max()))
    else:
        _set_contours(display, extent, low, high)
    display.SetAndObserveColorNodeID(_colors(transform_node.GetScene(), low, high).GetID())
    display.SetScalarRange(low, high)
    # One colour keeps the lines of a grid apart from the anatomy; arrows and contours tell lengths.
    display.SetScalarVisibility(view is not FieldView.GRID)
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    display.SetVisibility(True)
    display.EndModify(modifying)


def displacement_colors(low: float, high: float) -> vtk.vtkColorTransferFunction:
    """Returns the colours of displacements from `low` to `high` mm."""
    colors = vtk.vtkColorTransferFunction()
    for value, color in zip(np.linspace(low, max(high, low + 1e-3), len(_COLORS)), _COLORS, strict=True):
        colors.AddRGBPoint(float(value), *color)
    return colors


def round_length(length: float) -> float:
    """Returns the nearest of 1, 1.5, 2, 3, 4, 5, 6, 8 and 10 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-6)))
    steps = np.array([1, 1.5, 2, 3, 4, 5, 6, 8, 10]) * power
    return float(steps[np.argmin(abs(steps - length))])


def _set_grid(display: slicer.vtkMRMLTransformDisplayNode, extent: float) -> None:
    spacing = round_length(extent / _CELLS)
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridSpacingMm(spacing)
    display.SetGridResolutionMm(spacing / _BENDS)
    display.SetGridScalePercent(100)
    display.SetGridLineDiameterMm(spacing / 15)
    display.SetGridShowNonWarped(False)
    display.SetColor(*_LINES)
    display.SetSliceIntersectionThickness(1)


def _set_glyphs(
    display: slicer.vtkMRMLTransformDisplayNode, extent: float, usual: float, largest: float
) -> None:
    # Long arrows need room, or they hide each other; too few show no pattern.
    spacing = round_length(min(max(extent / _ARROWS, 0.6 * usual), extent / _FEWEST_ARROWS))
    display.SetVisualizationMode(display.VIS_MODE_GLYPH)
    display.SetGlyphType(display.GLYPH_TYPE_ARROW)
    display.SetGlyphSpacingMm(spacing)
    display.SetGlyphScalePercent(100)
    display.SetGlyphDiameterMm(spacing / 3)
    display.SetGlyphTipLengthPercent(35)
    display.SetGlyphTipLengthPercent2D(35)
    display.SetGlyphDisplayRangeMinMm(0.01 * usual)
    # The way back can be a little longer than any displacement of the field.
    display.SetGlyphDisplayRangeMaxMm(2 * largest + 1)
    display.SetSliceIntersectionThickness(2)


def _set_contours(
    display: slicer.vtkMRMLTransformDisplayNode, extent: float, low: float, high: float
) -> None:
    step = round_length((high - low) / _CONTOURS)
    first = np.floor(low / step) + 1
    levels = [float(step * n) for n in np.arange(first, max(np.floor(high / step), first) + 1)]
    display.SetVisualizationMode(display.VIS_MODE_CONTOUR)
    display.SetContourLevelsMmFromString(" ".join(f"{level:g}" for level in levels))
    display.SetContourResolutionMm(round_length(extent / _SAMPLES))
    display.SetContourOpacity(0.8)
    display.SetSliceIntersectionThickness(2)


def _hide(transform_node: slicer.vtkMRMLTransformNode) -> None:
    display = transform_node.GetDisplayNode()
    if display is not None:
        display.SetVisibility(False)


def _field(transform_node: slicer.vtkMRMLTransformNode) -> tuple[np.ndarray, float]:
    """Returns lengths of displacements all over the field and the field's longest side, mm."""
    transform = transform_node.GetTransformFromParentAs("vtkOrientedGridTransform", False)
    data = None if transform is None else transform.GetDisplacementGrid()
    # MRML gives a new node a grid of one point.
    if data is None or data.GetNumberOfPoints() < 2:
        raise UserError(
            f'The transform "{transform_node.GetName()}" holds no displacement field to show; '
            "choose the transform of a registration."
        )
    vectors = image_data_to_array(data)
    # A sample of some thousand is as good for choosing sizes, and quick.
    steps = tuple(slice(None, None, max(1, n // 24)) for n in vectors.shape[:3])
    lengths = np.linalg.norm(vectors[steps].astype(float), axis=-1) * transform.GetDisplacementScale()
    extent = max(n * spacing for n, spacing in zip(data.GetDimensions(), data.GetSpacing(), strict=True))
    return lengths, float(extent)


def _colors(scene: slicer.vtkMRMLScene, low: float, high: float) -> slicer.vtkMRMLProceduralColorNode:
    """Returns the scene's one node of displacement colours, set to a range."""
    node = scene.GetSingletonNode(_COLORS_TAG, "vtkMRMLProceduralColorNode")
    if node is None:
        node = slicer.vtkMRMLProceduralColorNode()
        # A node for every transform would outlive it.
        node.SetSingletonTag(_COLORS_TAG)
        node.SetName("Displacement in mm")
        node.SetHideFromEditors(True)
        node = scene.AddNode(node)
    node.SetAndObserveColorTransferFunction(displacement_colors(low, high))
    return node
