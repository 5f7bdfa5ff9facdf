"""Cluster maps as label map nodes with a table of named colours."""

import SimpleITK as sitk
import slicer

from SACBRegistrationLib.mrml.volumes import image_to_volume
from SACBRegistrationLib.pictures.style import tissue_colors


def fill_cluster_colors(clusters: int, node: slicer.vtkMRMLColorTableNode) -> None:
    """Turns a colour table node into the table of N clusters, from dark to bright tissue.

    Args:
        clusters: N. Number 0 becomes a transparent background, 1 to N the clusters.
        node: Colour table node; what it held is replaced.

    Raises:
        ValueError: When there are fewer than two clusters.
    """
    if clusters < 2:
        raise ValueError(f"there must be at least 2 clusters, not {clusters}")
    modifying = node.StartModify()
    node.SetTypeToUser()
    node.SetNumberOfColors(clusters + 1)
    node.SetColor(0, "Background", 0.0, 0.0, 0.0, 0.0)
    for number, color in enumerate(tissue_colors(clusters).tolist(), start=1):
        node.SetColor(number, cluster_name(number, clusters), *color, 1.0)
    node.EndModify(modifying)


def cluster_name(number: int, clusters: int) -> str:
    """Returns the name of cluster 1 to N, which are numbered by ascending mean intensity."""
    ends = {1: " (darkest)", clusters: " (brightest)"}
    return f"Cluster {number}{ends.get(number, '')}"


def cluster_map_to_volume(
    cluster_map: sitk.Image, node: slicer.vtkMRMLLabelMapVolumeNode, colors: slicer.vtkMRMLColorTableNode
) -> None:
    """Writes a cluster map into a label map node and shows it in the clusters' colours.

    Args:
        cluster_map: Label image with values 1 to N, LPS geometry.
        node: Label map node in a scene; gets a display node when it has none.
        colors: Table from `fill_cluster_colors`, in the same scene; several maps can share one.
    """
    image_to_volume(cluster_map, node)
    show_clusters(node, colors)


def show_clusters(node: slicer.vtkMRMLLabelMapVolumeNode, colors: slicer.vtkMRMLColorTableNode) -> None:
    """Shows a label map node in the clusters' colours; it gets a display node when it has none."""
    display = node.GetDisplayNode()
    if display is None:
        display = node.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeDisplayNode")
        node.SetAndObserveDisplayNodeID(display.GetID())
    display.SetAndObserveColorNodeID(colors.GetID())
