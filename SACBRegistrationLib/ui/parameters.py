"""All choices of the panel, kept in a parameter node of the scene."""

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import Decimals, SingleStep, WithinRange, parameterNodeWrapper

from SACBRegistrationLib.ui.choices import (
    Alignment,
    ClusterLevel,
    ClusterRole,
    Comparison,
    Device,
    FieldShown,
    Similarity,
)

MODULE_NAME = "SACBRegistration"


@parameterNodeWrapper
class SACBRegistrationParameterNode:
    """Typed access to a parameter set; the widget of each choice names it in the .ui file.

    Attributes:
        fixedVolume: Stays as it is.
        movingVolume: Is deformed onto the fixed one.
        preset: Name of a preset.
        clusters: Number of tissue clusters on every level.
        refine: Whether to refine after the network.
        smoothness: Factor on the smoothness of the refinement.
        similarity: What the refinement compares.
        outputTransform: Receives the displacement field; None makes a new node.
        outputVolume: Receives the warped volume; None makes a new node.
        makeWarped: Whether to make the warped volume.
        makeMagnitude: Whether to make the volume of displacement lengths.
        makeJacobian: Whether to make the volume of Jacobian determinants.
        makeClusterMaps: Whether to make the label maps of tissue clusters.
        makeInverse: Whether to make the inverse transform.
        alignment: Alignment before the deformation.
        initialTransform: Brings the moving volume near the fixed one, or None.
        fixedMask: Segmentation or label map, or None.
        movingMask: Likewise.
        weights: Path of a weights file, or nothing for the preset's own.
        device: Where to compute.
        seed: Seed of everything random.
        fieldSpacing: Spacing of the displacement field in mm; 0 is automatic.
        fixedSegmentation: Segmentation or label map to measure the quality on, or None.
        movingSegmentation: Likewise.
        fixedPoints: Landmarks to measure the quality on, or None.
        movingPoints: Likewise.
        resultTransform: The transform of the last run, by which its other outputs are found.
        comparison: How the two volumes are seen together.
        fieldView: How the deformation is seen.
        overlayOpacity: Opacity of what lies over the fixed volume.
        clusterLevel: Level whose tissue clusters are seen.
        clusterRole: Image whose tissue clusters are seen.
        clusterOpacity: Opacity of the tissue clusters.
    """

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    preset: str = "ixi"
    clusters: Annotated[int, WithinRange(2, 16)] = 7
    refine: bool = True
    smoothness: Annotated[float, WithinRange(0.1, 10), Decimals(2), SingleStep(0.05)] = 1.0
    similarity: Similarity = Similarity.AUTO

    outputTransform: slicer.vtkMRMLGridTransformNode
    outputVolume: slicer.vtkMRMLScalarVolumeNode
    makeWarped: bool = True
    makeMagnitude: bool = True
    makeJacobian: bool = True
    makeClusterMaps: bool = True
    makeInverse: bool = False

    alignment: Alignment = Alignment.PRESET
    initialTransform: slicer.vtkMRMLTransformNode
    fixedMask: slicer.vtkMRMLDisplayableNode
    movingMask: slicer.vtkMRMLDisplayableNode
    weights: str
    device: Device = Device.AUTO
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    fieldSpacing: Annotated[float, WithinRange(0, 50), Decimals(2), SingleStep(0.5)] = 0.0
    fixedSegmentation: slicer.vtkMRMLDisplayableNode
    movingSegmentation: slicer.vtkMRMLDisplayableNode
    fixedPoints: slicer.vtkMRMLMarkupsFiducialNode
    movingPoints: slicer.vtkMRMLMarkupsFiducialNode

    resultTransform: slicer.vtkMRMLGridTransformNode
    comparison: Comparison = Comparison.OVERLAY
    fieldView: FieldShown = FieldShown.OFF
    overlayOpacity: Annotated[float, WithinRange(0, 1), Decimals(2), SingleStep(0.05)] = 0.5
    clusterLevel: ClusterLevel = ClusterLevel.OFF
    clusterRole: ClusterRole = ClusterRole.FIXED
    clusterOpacity: Annotated[float, WithinRange(0, 1), Decimals(2), SingleStep(0.05)] = 0.5
