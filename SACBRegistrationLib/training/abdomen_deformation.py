"""Random smooth invertible maps from one abdomen to another's shape: organs, fat, breath and posture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from SACBRegistrationLib.training.abdomen_classes import NUMBER
from SACBRegistrationLib.training.abdomen_maps import AbdomenMap
from SACBRegistrationLib.training.deformation import AffineRange, smooth_noise

POSE = AffineRange(rotation=4.0, translation=6.0, scale=0.06, shear=0.01)
"""How people lie and how large they are: shared by the two images of a pair."""

RESIDUAL = AffineRange(rotation=2.5, translation=6.0, scale=0.04, shear=0.02)
"""What an affine alignment leaves between two abdomens: it follows the outline more than the organs."""

_COARSE_MM = 17.0
_SQUARINGS = 6
_LEAST_JACOBIAN = 0.12
_GENTLER = 0.8

# (spacing of the control points in mm, standard deviation in mm), coarse to fine.
_SCALES = ((110.0, 6.0), (55.0, 4.0), (28.0, 2.0))
_MOVING_ORGANS = (
    ("liver",), ("spleen",), ("right kidney", "right medulla"), ("left kidney", "left medulla"),
    ("gallbladder",), ("stomach",), ("pancreas",), ("heart",), ("bladder",),
)  # fmt: skip
_ORGAN_SHIFT_MM, _ORGAN_SCALE, _ORGAN_TURN = 9.0, 0.12, 0.10
_BREATH_MM, _BREATH_WIDTH_MM = 10.0, (140.0, 140.0, 75.0)
_POSTURE_MM = (2.0, 5.0)  # bend along D and H, 100 mm from the middle
_FAT_LOG, _FAT_DEPTH_MM = 0.45, 45.0
_GIRTH_LOG, _GIRTH_WIDTH_MM = 0.06, (150.0, 120.0, 130.0)


@dataclass(frozen=True)
class Frame:
    """A training grid in common coordinates.

    Attributes:
        size: Voxels along D, H, W, multiples of 16.
        spacing: Voxel size, mm.
        center: [3] common coordinates of the grid's middle, mm.
    """

    size: tuple[int, int, int]
    spacing: float
    center: np.ndarray

    def coarser(self) -> "Frame":
        """Returns the same box with the largest voxels of at most 17 mm that a division by 2 to 16 gives."""
        factor = 1
        while factor < 16 and self.spacing * factor * 2 <= _COARSE_MM:
            factor *= 2
        return Frame(tuple(n // factor for n in self.size), self.spacing * factor, self.center)

    def points(self) -> torch.Tensor:
        """Returns the common coordinates of the voxels' centres, [3, D, H, W] float32, mm."""
        lines = [
            (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * self.spacing + float(c)
            for n, c in zip(self.size, self.center, strict=True)
        ]
        return torch.stack(torch.meshgrid(*lines, indexing="ij"))


def random_velocity(
    abdomen: AbdomenMap, frame: Frame, strength: float, generator: np.random.Generator
) -> torch.Tensor:
    """Returns a stationary velocity field on a frame, [3, D, H, W], mm; its exponential deforms the abdomen.

    Args:
        abdomen: The abdomen whose organs and fat move.
        frame: Where the field is sampled.
        strength: Factor on all standard deviations.
        generator: Source of the random numbers.
    """
    points = frame.points()
    velocity = torch.zeros_like(points)
    for control, deviation in _SCALES:
        for axis in range(3):
            velocity[axis] += deviation * smooth_noise(frame.size, frame.spacing, control, generator)
    for names in _MOVING_ORGANS:
        velocity += _organ_velocity(abdomen, names, points, generator)
    velocity += _breath(abdomen, points, generator)
    velocity += _posture(points, generator)
    velocity += _fat(abdomen, points, frame, generator)
    return strength * velocity


def exponential(velocity: torch.Tensor, spacing: float) -> torch.Tensor:
    """Returns the displacement of the map that flows along a velocity field for unit time.

    Scaling and squaring; should the result still fold (a field too steep for its grid), the velocity is
    made gentler until it does not.

    Args:
        velocity: [3, D, H, W], mm.
        spacing: Voxel size, mm.

    Returns:
        [3, D, H, W], mm; forward-difference Jacobian determinants are above 0.1.
    """
    while True:
        field = velocity / 2**_SQUARINGS
        for _ in range(_SQUARINGS):
            field = field + _sampled(field, field, spacing)
        if float(jacobian_determinants(field / spacing).min()) > _LEAST_JACOBIAN:
            return field
        velocity = velocity * _GENTLER


def jacobian_determinants(displacement: torch.Tensor) -> torch.Tensor:
    """Returns the determinants of v -> v + u(v) by forward differences, [D-1, H-1, W-1]; u in voxels."""
    inner = displacement[:, :-1, :-1, :-1]
    columns = [
        displacement[:, 1:, :-1, :-1] - inner,
        displacement[:, :-1, 1:, :-1] - inner,
        displacement[:, :-1, :-1, 1:] - inner,
    ]
    jacobian = torch.stack(columns, dim=-1).movedim(0, -2) + torch.eye(3)
    a, b, c = jacobian.unbind(dim=-1)
    return (a * torch.linalg.cross(b, c)).sum(dim=-1)


def _sampled(field: torch.Tensor, displacement: torch.Tensor, spacing: float) -> torch.Tensor:
    """Returns the field at x + u(x), the border's value outside; u in mm."""
    size = field.shape[1:]
    lines = [torch.linspace(-1, 1, n) for n in size]
    identity = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    scale = torch.tensor([2 / (spacing * (n - 1)) for n in size]).reshape(3, 1, 1, 1)
    place = (identity + displacement * scale).flip(0).movedim(0, -1)
    return F.grid_sample(field[None], place[None], padding_mode="border", align_corners=True)[0]


def _bell(points: torch.Tensor, center: Sequence[float], width: Sequence[float]) -> torch.Tensor:
    """Returns a Gaussian of peak 1, [D, H, W]; `width` are its standard deviations, mm."""
    offset = (points - _column(center)) / _column(width)
    return torch.exp(-0.5 * offset.square().sum(dim=0))


def _column(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor([float(v) for v in values]).reshape(3, 1, 1, 1)


def _organ_velocity(abdomen, names, points, generator) -> torch.Tensor:
    """Shifts, scales and turns what lies around an organ."""
    shift = _ORGAN_SHIFT_MM * generator.standard_normal(3)
    matrix = np.diag(_ORGAN_SCALE * generator.standard_normal(3))
    for (a, b), angle in zip(
        ((0, 1), (0, 2), (1, 2)), _ORGAN_TURN * generator.standard_normal(3), strict=True
    ):
        matrix[a, b] += angle
        matrix[b, a] -= angle
    box = abdomen.extent(tuple(NUMBER[name] for name in names))
    if box is None:
        return torch.zeros_like(points)
    center, deviation = box
    from_center = points - _column(center)
    linear = torch.einsum("ij,jdhw->idhw", torch.from_numpy(matrix.astype(np.float32)), from_center)
    linear += _column(shift)
    return linear * _bell(points, center, 1.2 * deviation + 12.0)


def _breath(abdomen, points, generator) -> torch.Tensor:
    """Moves the diaphragm and what hangs on it up or down."""
    top = abdomen.extent((NUMBER["liver"],))
    center = (0.0, 10.0, 40.0) if top is None else (0.0, 10.0, top[0][2] + 20.0)
    velocity = torch.zeros_like(points)
    velocity[2] = _BREATH_MM * generator.standard_normal() * _bell(points, center, _BREATH_WIDTH_MM)
    girth = _GIRTH_LOG * generator.standard_normal() * _bell(points, (0, 10, -60), _GIRTH_WIDTH_MM)
    velocity[:2] += girth * points[:2]
    return velocity


def _posture(points, generator) -> torch.Tensor:
    """Bends the trunk."""
    velocity = torch.zeros_like(points)
    middle = 60.0 * generator.standard_normal()
    along = ((points[2] - middle) / 100).square().clamp(max=4)
    for axis, bend in enumerate(_POSTURE_MM):
        velocity[axis] = bend * generator.standard_normal() * along
    return velocity


def _fat(abdomen, points, frame, generator) -> torch.Tensor:
    """Stretches the fat outside of the muscles: the velocity -k d turns the depth d into d exp(-k)."""
    depth = abdomen.depth_at(points)
    normal = torch.zeros_like(points)
    for axis in range(3):
        n = points.shape[1 + axis]
        difference = (depth.narrow(axis, 2, n - 2) - depth.narrow(axis, 0, n - 2)) / (2 * frame.spacing)
        normal[axis].narrow(axis, 1, n - 2).copy_(difference)
    normal /= normal.square().sum(dim=0).sqrt().clamp(min=1.0)
    rate = _FAT_LOG * generator.standard_normal()
    rate = rate + 0.2 * smooth_noise(frame.size, frame.spacing, 120.0, generator)
    return -rate * depth.clamp(max=_FAT_DEPTH_MM) * normal
