"""Target registration error of named points."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.displacement import map_points
from SACBRegistrationLib.imaging.grid import Grid


def target_registration_errors(
    fixed: Mapping[str, tuple[float, float, float]],
    moving: Mapping[str, tuple[float, float, float]],
    displacement_field: sitk.Image,
) -> dict[str, tuple[float, float]]:
    """Returns how far every fixed point's image lies from the moving point of the same name.

    TRE = |T(f) - m| with T(x) = x + u(x) after, and with the identity before registration.

    Args:
        fixed: Points in the fixed volume by name, LPS mm.
        moving: The same points in the moving volume, LPS mm.
        displacement_field: Vector image u, LPS mm, fixed to moving points.

    Returns:
        (before, after) in mm of every name that both hold, in the order of `fixed`. After is NaN for a fixed
        point outside the field: nothing is known there.
    """
    names = [name for name in fixed if name in moving]
    if not names:
        return {}
    targets = np.array([fixed[name] for name in names], dtype=float)
    wanted = np.array([moving[name] for name in names], dtype=float)
    before = np.linalg.norm(targets - wanted, axis=1)
    after = np.linalg.norm(map_points(displacement_field, targets) - wanted, axis=1)
    field = Grid.from_image(displacement_field)
    index = field.to_index(targets)
    after[((index < -0.5) | (index > np.asarray(field.size) - 0.5)).any(axis=1)] = np.nan
    return {name: (float(b), float(a)) for name, b, a in zip(names, before, after, strict=True)}
