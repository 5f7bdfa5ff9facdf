"""From the panel's choices to the arguments of the logic."""

from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.outputs import Outputs
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.ui.parameters import SACBRegistrationParameterNode


def reason_against(parameters: SACBRegistrationParameterNode) -> str | None:
    """Returns what has to be chosen before a run can start, in one sentence, or None."""
    fixed, moving = parameters.fixedVolume, parameters.movingVolume
    if fixed is None:
        return "Choose a fixed volume."
    if moving is None:
        return "Choose a moving volume."
    if fixed is moving:
        return "The fixed and the moving volume are the same; choose two different ones."
    for role, volume in (("fixed", fixed), ("moving", moving)):
        if volume.GetImageData() is None:
            return f'The {role} volume "{volume.GetName()}" has no voxels; choose another one.'
        if parameters.makeWarped and parameters.outputVolume is volume:
            return f"The warped volume would replace the {role} volume; choose another output."
    pairs = {
        "structures": (parameters.fixedSegmentation, parameters.movingSegmentation),
        "landmarks": (parameters.fixedPoints, parameters.movingPoints),
    }
    for what, (of_fixed, of_moving) in pairs.items():
        if (of_fixed is None) != (of_moving is None):
            missing = "fixed" if of_fixed is None else "moving"
            return f"Choose {missing} {what} as well, or none: the quality is measured on both."
    if parameters.weights and not Path(parameters.weights).is_file():
        return f"There is no weights file {parameters.weights}; choose another one, or leave it empty."
    return None


def register_arguments(parameters: SACBRegistrationParameterNode) -> dict[str, object]:
    """Returns the keyword arguments of `SACBRegistrationLogic.register`.

    Raises:
        UserError: When the preset is not installed.
    """
    preset = load_preset(parameters.preset)
    return {
        "fixedVolumeNode": parameters.fixedVolume,
        "movingVolumeNode": parameters.movingVolume,
        "preset": parameters.preset,
        "clusters": parameters.clusters,
        "alignment": parameters.alignment.value,
        "refine": preset.refine_steps if parameters.refine else 0,
        "smoothness": parameters.smoothness,
        "similarity": parameters.similarity.value,
        "weights": parameters.weights or None,
        "device": parameters.device.value,
        "seed": parameters.seed,
        "fieldSpacing": parameters.fieldSpacing or None,
        "initialTransformNode": parameters.initialTransform,
        "fixedMaskNode": parameters.fixedMask,
        "movingMaskNode": parameters.movingMask,
        "fixedSegmentationNode": parameters.fixedSegmentation,
        "movingSegmentationNode": parameters.movingSegmentation,
        "fixedPointsNode": parameters.fixedPoints,
        "movingPointsNode": parameters.movingPoints,
        "outputTransformNode": parameters.outputTransform,
        "outputVolumeNode": parameters.outputVolume if parameters.makeWarped else None,
        "outputs": Outputs(
            warped=parameters.makeWarped,
            magnitude=parameters.makeMagnitude,
            jacobian=parameters.makeJacobian,
            clusterMaps=parameters.makeClusterMaps,
            inverse=parameters.makeInverse,
        ),
    }


def clusters_after(before: str, now: str, clusters: int) -> int:
    """Returns the number of clusters once the preset changes.

    It follows the preset as long as it is the former preset's own number; a number that was chosen stays.
    """
    try:
        default, new = load_preset(before).clusters, load_preset(now).clusters
    except UserError:
        return clusters
    return new if clusters == default else clusters
