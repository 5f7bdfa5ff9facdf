"""Says when an image shows another anatomy than its preset is for."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.registration.pair import PreparedImage

# Stripped brains with their fluid stay below 2.1 litres, whole adult heads begin near 2.9.
_LARGEST_BRAIN_LITRES = 2.4


def anatomy_notes(fixed: PreparedImage, moving: PreparedImage, preset: Preset) -> list[str]:
    """Returns one sentence for every image that shows a head where a brain without skull is expected.

    Skull, scalp and neck take part in alignment and refinement like tissue, and the network has never seen
    them. A mask of the brain takes them out: what lies outside it does not count here either.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        preset: The preset.
    """
    if not preset.skull_stripped:
        return []
    volumes = {role: _litres(image) for role, image in (("fixed", fixed), ("moving", moving))}
    return [
        f"The {role} image seems to show skull or neck ({litres:.1f} litres of tissue), but the preset "
        f"{preset.name} is for brains without them: strip the skull first, or give a mask of the brain."
        for role, litres in volumes.items()
        if litres > _LARGEST_BRAIN_LITRES
    ]


def _litres(image: PreparedImage) -> float:
    voxels = np.count_nonzero(sitk.GetArrayViewFromImage(image.foreground))
    return voxels * float(np.prod(image.grid.spacing)) / 1e6
