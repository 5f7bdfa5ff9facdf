"""A registered pair in a MRML scene, and views of it for a page."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from Pictures.cases import RegisteredCase
from Pictures.offscreen import SliceViews
from Pictures.page import GAP, MARGIN, WIDTH, Page, Tile

from SACBRegistrationLib.mrml.cluster_maps import cluster_map_to_volume, fill_cluster_colors
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform
from SACBRegistrationLib.mrml.volumes import image_to_volume

# World axes (LPS) that run along the width and the height of a view.
_ACROSS = {"Axial": (0, 1), "Coronal": (0, 2), "Sagittal": (1, 2)}
_BORDER_MM = 8.0


@dataclass
class Stage:
    """Nodes of a registered pair.

    Attributes:
        pair: The pair.
        views: Scene and views.
        volumes: "fixed", "moving", "aligned" and "warped" to volume nodes.
        deformation: Grid transform node of the deformation without the alignment.
        maps: (level, role) to label map nodes.
        colors: Colour table of the clusters, or None.
    """

    pair: RegisteredCase
    views: SliceViews
    volumes: dict
    deformation: object
    maps: dict
    colors: object

    def page(self, title: str, planes: tuple[str, ...], columns: int = 1) -> Page:
        """Starts a page on which every plane is shown in so many columns."""
        widths = [self._extent(plane)[0] for plane in planes]
        gaps = GAP * (len(planes) * columns - 1)
        scale = sum(widths) * columns / (WIDTH - 2 * MARGIN - gaps)
        subtitle = f"{self.pair.case.title}. Radiological view: the patient's right is on the left."
        return Page(title, subtitle, planes, scale, 50.0)

    def tile(self, page: Page, plane: str, caption: str, center: np.ndarray | None = None) -> Tile:
        """Renders what the scene shows."""
        width = self._extent(plane)[0]
        height = max(self._extent(name)[1] for name in page.planes)
        size = tuple(max(1, int(length / page.mm_per_pixel)) for length in (width, height))
        view = self.views.views[plane]
        view.look_at(self.center if center is None else center, page.mm_per_pixel, size)
        return Tile(view.pixels(), plane, caption)

    @property
    def center(self) -> np.ndarray:
        """Point that all views show, LPS mm."""
        return (self.pair.low + self.pair.high) / 2 + self.pair.case.offset

    def _extent(self, plane: str) -> np.ndarray:
        """Width and height of a view that shows the whole anatomy around the centre, mm."""
        most = np.maximum(self.pair.high - self.center, self.center - self.pair.low)
        return 2 * (most + _BORDER_MM)[list(_ACROSS[plane])]


def set_stage(pair: RegisteredCase, views: SliceViews) -> Stage:
    """Adds the nodes of a registered pair to the scene of the views."""
    volumes = {}
    for name in ("fixed", "moving", "aligned", "warped"):
        node = views.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        image_to_volume(getattr(pair, name), node)
        node.CreateDefaultDisplayNodes()
        # The same window before and after, or a difference could be the window's.
        window = pair.case.window or _window(pair.fixed if name == "fixed" else pair.moving)
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevelMinMax(*window)
        volumes[name] = node
    deformation = views.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "deformation")
    displacement_to_grid_transform(pair.deformation, deformation)
    maps, colors = {}, None
    if pair.cluster_maps:
        colors = views.scene.AddNewNodeByClass("vtkMRMLColorTableNode", "clusters")
        fill_cluster_colors(pair.clusters, colors)
    for (level, role), image in pair.cluster_maps.items():
        maps[level, role] = views.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{level} {role}")
        cluster_map_to_volume(image, maps[level, role], colors)
    return Stage(pair, views, volumes, deformation, maps, colors)


def _window(image: sitk.Image) -> tuple[float, float]:
    values = sitk.GetArrayViewFromImage(image)
    return 0.0, float(np.percentile(values[values > 0], 99.5))
