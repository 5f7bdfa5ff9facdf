"""Random maps between the common pose and a synthesised image."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class AffineRange:
    """Standard deviations of a random affine map about the middle of the volume.

    Attributes:
        rotation: Degrees about each axis.
        translation: mm along each axis.
        scale: Relative change of size along each axis.
        shear: Tangents of the shear angles.
    """

    rotation: float
    translation: float
    scale: float
    shear: float


POSE = AffineRange(rotation=5.0, translation=4.0, scale=0.05, shear=0.01)
"""How people lie and how large they are: shared by the two images of a pair."""

RESIDUAL = AffineRange(rotation=2.0, translation=1.5, scale=0.02, shear=0.01)
"""What an affine alignment before the network leaves between the two images."""

# (spacing of the control points in mm, largest standard deviation in mm), coarse to fine. A standard
# deviation beyond about a fifth of the spacing would tear the anatomy.
_SCALES = ((64.0, 6.0), (32.0, 4.0), (16.0, 2.0))


def random_affine(ranges: AffineRange, generator: np.random.Generator) -> np.ndarray:
    """Returns a random [3, 4] affine on mm coordinates along D, H, W."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(ranges.rotation) * generator.standard_normal(3)):
        turn, (a, b) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    shear = np.triu(ranges.shear * generator.standard_normal((3, 3)), 1)
    scale = np.diag(np.exp(ranges.scale * generator.standard_normal(3)))
    shift = ranges.translation * generator.standard_normal(3)
    return np.concatenate([matrix @ (np.eye(3) + shear) @ scale, shift[:, None]], axis=1)


def random_displacement(
    size: tuple[int, int, int], spacing: float, strength: float, generator: np.random.Generator
) -> torch.Tensor:
    """Returns a smooth random displacement field: cubic B-splines of three control spacings, added.

    Args:
        size: Voxels along D, H, W.
        spacing: Voxel size, mm.
        strength: Factor on the largest standard deviations; each scale's own is drawn between 0 and that.
        generator: Source of the random numbers.

    Returns:
        [3, D, H, W] float32, mm along D, H, W.
    """
    field = torch.zeros(3, *size)
    for control_spacing, largest in _SCALES:
        deviation = generator.random() * strength * largest
        field += deviation * _spline_noise(3, size, spacing / control_spacing, generator)
    return field


# Standard deviation of a cubic B-spline of unit normal control points, on average over the volume.
_SPLINE_DEVIATION = (151 / 315) ** 1.5


def _spline_basis(samples: int, step: float, phase: float) -> torch.Tensor:
    """Returns [samples, control points] cubic B-spline weights; `step` and `phase` in control spacings."""
    places = np.arange(samples) * step + phase + 1
    control = np.arange(int(places[-1]) + 3)
    distance = np.abs(places[:, None] - control)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return torch.from_numpy(np.where(distance < 1, near, far).astype(np.float32))


def smooth_noise(
    size: tuple[int, int, int], spacing: float, control_spacing: float, generator: np.random.Generator
) -> torch.Tensor:
    """Returns a smooth random volume of unit standard deviation, [D, H, W]; lengths in mm."""
    return _spline_noise(1, size, spacing / control_spacing, generator)[0]


def _spline_noise(
    channels: int, size: tuple[int, int, int], step: float, generator: np.random.Generator
) -> torch.Tensor:
    bases = [_spline_basis(n, step, generator.random()) for n in size]
    points = generator.standard_normal((channels, *(b.shape[1] for b in bases)), dtype=np.float32)
    coarse = torch.einsum("ncde,hd,we->nchw", torch.from_numpy(points), bases[1], bases[2])
    return torch.einsum("nchw,dc->ndhw", coarse, bases[0]) / _SPLINE_DEVIATION
