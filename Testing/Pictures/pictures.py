"""One function per picture; each renders a registered pair and writes a PNG."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import slicer
from Pictures.cases import anatomy_box
from Pictures.offscreen import PLANES
from Pictures.page import Page
from Pictures.stage import Stage

from SACBRegistrationLib.imaging.foreground import foreground_mask
from SACBRegistrationLib.mrml.cluster_maps import cluster_name
from SACBRegistrationLib.mrml.field_view import FieldView, displacement_colors, show_field
from SACBRegistrationLib.mrml.slice_views import checkerboard, show_volumes
from SACBRegistrationLib.pictures.style import tissue_colors

_LEVELS = (5, 4, 3, 2)
_SQUARES = 11
_DIMMED = 1.6


def draw_overlay(stage: Stage, path: Path) -> None:
    """Draws the fixed image in green and the moving one in magenta, before and after the deformation."""
    page = stage.page("Fixed and moving image on top of each other", PLANES)
    with _added_colors(stage):
        for name, when in (("aligned", "affine alignment only"), ("warped", "registered")):
            show_volumes(stage.views.scene, stage.volumes["fixed"], stage.volumes[name], None, 1.0)
            page.row([stage.tile(page, plane, f"{plane}, {when}") for plane in PLANES])
    page.swatches(
        [
            ("fixed image brighter", (0.0, 1.0, 0.0)),
            ("moving image brighter", (1.0, 0.0, 1.0)),
            ("grey: both alike", (0.7, 0.7, 0.7)),
        ]
    )
    _finish(stage, page, path)


def draw_grid(stage: Stage, path: Path) -> None:
    """Draws the deformed grid over the fixed image."""
    page = stage.page("Deformation as a grid over the fixed image", PLANES)
    show_volumes(stage.views.scene, stage.volumes["fixed"])
    with _shown_field(stage, FieldView.GRID):
        page.row([stage.tile(page, plane, plane) for plane in PLANES])
        spacing = stage.deformation.GetDisplayNode().GetGridSpacingMm()
    page.note(
        f"A grid of {spacing:g} mm, regular in the aligned moving image, as it lands on the fixed image "
        "(without the affine part)."
    )
    page.note(_lengths(stage))
    _finish(stage, page, path)


def draw_glyphs(stage: Stage, path: Path) -> None:
    """Draws the displacements as arrows over the fixed image."""
    planes = PLANES[:2]
    page = stage.page("Deformation as arrows of true length over the fixed image", planes)
    show_volumes(stage.views.scene, stage.volumes["fixed"])
    with _dimmed(stage.volumes["fixed"]), _shown_field(stage, FieldView.GLYPHS):
        page.row([stage.tile(page, plane, plane) for plane in planes])
    _displacement_bar(stage, page)
    page.note(
        "Arrows point from a place of the aligned moving image to where it lands on the fixed image, "
        "drawn in the plane of the view (without the affine part)."
    )
    page.note(_lengths(stage))
    _finish(stage, page, path)


def draw_contours(stage: Stage, path: Path) -> None:
    """Draws lines of equal displacement over the fixed image."""
    page = stage.page("Length of the deformation as contours over the fixed image", PLANES)
    show_volumes(stage.views.scene, stage.volumes["fixed"])
    with _dimmed(stage.volumes["fixed"]), _shown_field(stage, FieldView.CONTOURS):
        page.row([stage.tile(page, plane, plane) for plane in PLANES])
        levels = stage.deformation.GetDisplayNode().GetContourLevelsMmAsString()
    _displacement_bar(stage, page)
    page.note(f"Contours at {', '.join(levels.split())} mm (without the affine part). {_lengths(stage)}")
    _finish(stage, page, path)


def draw_clusters(stage: Stage, path: Path) -> None:
    """Draws the cluster maps of all levels, of the fixed and of the moving image."""
    page = stage.page("Tissue clusters of the four pyramid levels", ("Axial",), len(_LEVELS))
    scene = stage.views.scene
    for role, volume in (("fixed", "fixed"), ("moving", "aligned")):
        tiles = []
        for level in _LEVELS:
            spacing = max(stage.pair.cluster_maps[level, role].GetSpacing())
            show_volumes(scene, stage.volumes[volume], label=stage.maps[level, role], label_opacity=0.65)
            tiles.append(stage.tile(page, "Axial", f"{role.capitalize()}, level {level} ({spacing:.0f} mm)"))
        page.row(tiles)
    count = stage.pair.clusters
    names = [cluster_name(number, count) for number in range(1, count + 1)]
    page.swatches(list(zip(names, map(tuple, tissue_colors(count)), strict=True)))
    page.note(
        "Clusters are numbered by ascending mean intensity. The moving image is shown after affine alignment."
    )
    _finish(stage, page, path)


def draw_checkerboard(stage: Stage, path: Path) -> None:
    """Draws checkerboards of the fixed and the moving image, before and after the deformation."""
    page = stage.page("Checkerboard of fixed and moving image", ("Axial", "Coronal"), 2)
    board = stage.views.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "checkerboard")
    tiles = []
    for name, when in (("aligned", "affine only"), ("warped", "registered")):
        checkerboard(stage.volumes["fixed"], stage.volumes[name], board, _SQUARES)
        show_volumes(stage.views.scene, board)
        tiles += [stage.tile(page, plane, f"{plane}, {when}") for plane in page.planes]
    page.row(tiles)
    page.note("Structures that run on across the edges of the squares lie on each other.")
    _finish(stage, page, path)


def draw_before_after(stage: Stage, path: Path) -> None:
    """Draws fixed image, moving image as scanned, aligned and registered."""
    planes = ("Axial", "Coronal")
    page = stage.page("Before and after", ("Axial",), 4)
    mask = foreground_mask(stage.pair.moving, stage.pair.case.air)
    moving_center = np.mean(anatomy_box(mask), axis=0)
    for plane in planes:
        page.planes = (plane,)
        tiles = []
        for name, caption in (
            ("fixed", "fixed"),
            ("moving", "moving, as scanned"),
            ("aligned", "moving, affine"),
            ("warped", "moving, registered"),
        ):
            show_volumes(stage.views.scene, stage.volumes[name])
            center = moving_center + stage.pair.case.offset if name == "moving" else None
            tiles.append(stage.tile(page, plane, f"{plane}, {caption}", center))
        page.row(tiles)
    _finish(stage, page, path)


PICTURES = {
    "overlay": draw_overlay,
    "grid": draw_grid,
    "glyphs": draw_glyphs,
    "contours": draw_contours,
    "clusters": draw_clusters,
    "checkerboard": draw_checkerboard,
    "before_after": draw_before_after,
}


@contextmanager
def _added_colors(stage: Stage) -> Iterator[None]:
    """Shows the fixed image in green, the others in magenta, and adds the layers."""
    layers = slicer.vtkMRMLSliceCompositeNode
    colors = {name: "Green" if name == "fixed" else "Magenta" for name in stage.volumes}
    _set_layers(stage, colors, layers.Add)
    try:
        yield
    finally:
        _set_layers(stage, dict.fromkeys(stage.volumes, "Grey"), layers.Alpha)


def _set_layers(stage: Stage, colors: dict[str, str], compositing: int) -> None:
    for name, color in colors.items():
        stage.volumes[name].GetDisplayNode().SetAndObserveColorNodeID(f"vtkMRMLColorTableNode{color}")
    for view in stage.views.views.values():
        view.composite.SetCompositing(compositing)


@contextmanager
def _shown_field(stage: Stage, view: FieldView) -> Iterator[None]:
    show_field(stage.deformation, view, stage.volumes["fixed"])
    try:
        yield
    finally:
        show_field(stage.deformation, FieldView.OFF)


@contextmanager
def _dimmed(volume: slicer.vtkMRMLScalarVolumeNode) -> Iterator[None]:
    """Darkens a volume, so that bright colours stand out from bright tissue."""
    display = volume.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    display.SetWindowLevelMinMax(low, low + _DIMMED * (high - low))
    try:
        yield
    finally:
        display.SetWindowLevelMinMax(low, high)


def _displacement_bar(stage: Stage, page: Page) -> None:
    low, high = stage.deformation.GetDisplayNode().GetScalarRange()
    colors, color = displacement_colors(low, high), [0.0, 0.0, 0.0]
    values = []
    for value in np.linspace(low, high, 40):
        colors.GetColor(value, color)
        values.append(list(color))
    ticks = [(place, f"{low + place * (high - low):.1f}") for place in (0, 0.25, 0.5, 0.75, 1)]
    page.color_bar("Displacement in mm", np.array(values), ticks)


def _lengths(stage: Stage) -> str:
    pair = stage.pair
    return f"Anatomy moves by {pair.usual:.1f} mm (median), 1 % of it by more than {pair.largest:.1f} mm."


def _finish(stage: Stage, page: Page, path: Path) -> None:
    page.note(stage.pair.case.credit)
    page.save(path)
