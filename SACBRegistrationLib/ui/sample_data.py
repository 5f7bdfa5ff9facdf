"""The phantom pair in Slicer's Sample Data module; made here, nothing is downloaded."""

import logging

import slicer

from SACBRegistrationLib.imaging.phantom import PhantomPair, make_phantom_pair
from SACBRegistrationLib.mrml.volumes import image_to_volume
from SACBRegistrationLib.mrml.vtk_images import RAS_AXES
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.resources import icon_file

CATEGORY = "SACB Registration"
SAMPLE_NAME = "SACB phantom pair"
LANDMARKS = 12

logger = logging.getLogger(__name__)


def register_sample_data() -> None:
    """Adds the pair to the Sample Data module, once; a Slicer without that module is left alone."""
    try:
        import SampleData
    except ImportError:
        logger.info("This Slicer has no Sample Data module")
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        # Sample Data wants an address and a file for every node; the pair needs neither.
        uris=["", ""],
        fileNames=["SACBPhantomFixed.nrrd", "SACBPhantomMoving.nrrd"],
        nodeNames=["SACB phantom fixed", "SACB phantom moving"],
        thumbnailFileName=str(icon_file("SACBPhantomPair.png")),
        loadFileType=["VolumeFile", "VolumeFile"],
        customDownloader=add_to_window,
    )


def add_to_window(_source=None) -> list[slicer.vtkMRMLNode]:
    """Makes the pair, adds it to Slicer's scene and shows the fixed volume; called by Sample Data."""
    with slicer.util.WaitCursor():
        nodes = add_phantom_pair(slicer.mrmlScene)
        slicer.util.setSliceViewerLayers(background=nodes[0], foreground=None, label=None, fit=True)
    return nodes


def add_phantom_pair(scene: slicer.vtkMRMLScene, pair: PhantomPair | None = None) -> list[slicer.vtkMRMLNode]:
    """Adds a pair with its structures and landmarks to a scene.

    Args:
        scene: The scene.
        pair: The pair; None makes one.

    Returns:
        Fixed and moving volume, fixed and moving label map, fixed and moving landmarks.
    """
    pair = make_phantom_pair() if pair is None else pair
    nodes = []
    for role, image in (("fixed", pair.fixed), ("moving", pair.moving)):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"SACB phantom {role}")
        image_to_volume(image, node)
        node.CreateDefaultDisplayNodes()
        nodes.append(node)
    colors = _structure_colors(scene)
    for role, image in (("fixed", pair.fixed_labels), ("moving", pair.moving_labels)):
        node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"SACB phantom {role} structures")
        image_to_volume(image, node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
        nodes.append(node)
    fixed = pair.landmarks[:: max(1, len(pair.landmarks) // LANDMARKS)][:LANDMARKS]
    for role, points in (("fixed", fixed), ("moving", pair.truth.to_moving(fixed))):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"SACB phantom {role} landmarks")
        for number, point in enumerate(points * RAS_AXES, start=1):
            node.AddControlPoint(*point.tolist(), f"L{number}")
        node.CreateDefaultDisplayNodes()
        # Points of the moving volume in the views of the fixed one would only confuse.
        node.SetDisplayVisibility(False)
        nodes.append(node)
    return nodes


def _structure_colors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """Returns a new table that names the phantom's label values."""
    labels = load_preset("ixi").labels
    node = slicer.vtkMRMLColorTableNode()
    node.SetName("SACB phantom structures")
    node.SetTypeToUser()
    node.SetNumberOfColors(max(labels) + 1)
    node.SetColor(0, "Background", 0.0, 0.0, 0.0, 0.0)
    for value, name in labels.items():
        # The golden angle keeps neighbouring structures apart in hue.
        hue = (value * 0.618034) % 1.0
        node.SetColor(value, name, *_rgb(hue), 1.0)
    return scene.AddNode(node)


def _rgb(hue: float) -> tuple[float, float, float]:
    red, green, blue = (min(max(abs((hue * 6 + shift) % 6 - 3) - 1, 0.0), 1.0) for shift in (0.0, 4.0, 2.0))
    return 0.25 + 0.7 * red, 0.25 + 0.7 * green, 0.25 + 0.7 * blue
