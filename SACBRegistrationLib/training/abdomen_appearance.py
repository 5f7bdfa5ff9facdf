"""CT images of synthetic abdomens: Hounsfield units by tissue and contrast phase, noise, streaks, a table."""

import numpy as np
import torch

from SACBRegistrationLib.training.abdomen_classes import ABDOMEN_CLASSES, NUMBER
from SACBRegistrationLib.training.abdomen_volume import AbdomenVolume
from SACBRegistrationLib.training.appearance import blur, white_noise
from SACBRegistrationLib.training.deformation import smooth_noise

WINDOW_HU = (-1000.0, 1000.0)
"""The window that becomes [0, 1], as in the preset abdomen-ct."""

PHASES = ("native", "arterial", "portal", "delayed")

# HU by phase (native, arterial, portal, delayed): textbook values, rounded.
_ENHANCED = {
    "liver": (55, 70, 110, 90),
    "spleen": (48, 120, 120, 95),
    "right kidney": (32, 160, 185, 150),
    "right medulla": (30, 70, 170, 160),
    "pancreas": (40, 105, 90, 70),
    "adrenal gland": (30, 75, 75, 55),
    "stomach": (35, 55, 60, 50),
    "small bowel": (35, 75, 70, 55),
    "duodenum": (35, 75, 70, 55),
    "colon": (30, 55, 60, 50),
    "artery": (42, 290, 150, 105),
    "vein": (42, 70, 140, 105),
    "portal vein": (42, 100, 165, 105),
    "hepatic vessel": (40, 80, 155, 100),
    "heart": (42, 190, 145, 105),
    "prostate": (35, 50, 60, 60),
    "soft tissue": (45, 55, 60, 55),
    "back muscle": (50, 55, 60, 58),
    "iliopsoas": (52, 57, 62, 60),
    "gluteal muscle": (48, 53, 58, 56),
    "oesophagus": (35, 50, 55, 50),
    "liver lesion": (35, 60, 55, 60),
}
# The same in every phase: mean and standard deviation between people.
_CONSTANT = {
    "air": (-1000, 0),
    "skin": (10, 25),
    "fat": (-102, 10),
    "cartilage": (110, 30),
    "gallbladder": (10, 8),
    "left lung": (-830, 50),
    "gas": (-980, 15),
    "bowel content": (20, 30),
    "bladder": (6, 6),
    "cortical bone": (480, 110),
    "vertebra": (190, 60),
    "rib": (220, 70),
    "pelvic bone": (200, 70),
    "spinal canal": (30, 10),
    "foreign mass": (50, 25),
    "foreign fluid": (10, 8),
}
_SAME_AS = {
    "left kidney": "right kidney", "left medulla": "right medulla", "right lung": "left lung",
}  # fmt: skip
_PHASE_SHARES = (0.12, 0.13, 0.6, 0.15)
_SPREAD = 0.14
_ORAL_CONTRAST = 0.12
_TABLE_HU = (-500.0, 100.0)


def random_phase(generator: np.random.Generator) -> np.ndarray:
    """Returns a contrast phase as weights [4] of `PHASES`, mostly one of them."""
    main = np.eye(4)[generator.choice(4, p=_PHASE_SHARES)]
    mix = generator.uniform(0, 0.35)
    return (1 - mix) * main + mix * generator.dirichlet(np.ones(4))


def random_units(
    phase: np.ndarray, shapes: np.ndarray, arbitrary: bool, generator: np.random.Generator
) -> np.ndarray:
    """Returns the Hounsfield units of every class in one scan, [classes] float32.

    Args:
        phase: Weights of `PHASES`.
        shapes: HU of the synthetic shapes, [shapes].
        arbitrary: Whether organs have any units of soft tissue, whatever the phase.
        generator: Source of the random numbers.
    """
    units = np.zeros(len(ABDOMEN_CLASSES))
    for name, (mean, deviation) in _CONSTANT.items():
        units[NUMBER[name]] = mean + deviation * generator.standard_normal()
    for name, values in _ENHANCED.items():
        value = float(np.dot(phase, values)) * np.exp(_SPREAD * generator.standard_normal())
        if arbitrary:
            value = generator.uniform(-20, 260)
        units[NUMBER[name]] = value + 5 * generator.standard_normal()
    for name, other in _SAME_AS.items():
        units[NUMBER[name]] = units[NUMBER[other]]
    if generator.random() < _ORAL_CONTRAST:
        units[NUMBER["bowel content"]] = generator.uniform(80, 350)
    for i, value in enumerate(shapes):
        units[NUMBER[f"shape {i}"]] = value + 5 * generator.standard_normal()
    return units.astype(np.float32)


def random_shape_units(number: int, generator: np.random.Generator) -> np.ndarray:
    """Returns HU for synthetic shapes, mostly soft tissue or enhanced, few of gas, fat or bone; [number]."""
    soft, any_tissue = generator.uniform(0, 220, number), generator.uniform(-950, 600, number)
    return np.where(generator.random(number) < 0.8, soft, any_tissue)


def render(
    volume: AbdomenVolume, units: np.ndarray, window: torch.Tensor, generator: np.random.Generator
) -> torch.Tensor:
    """Returns a random CT image of an abdomen.

    Args:
        volume: The tissues.
        units: HU of every class, [classes].
        window: Share of every voxel inside the scanned range, [D, H, W]; outside is air.
        generator: Source of the random numbers.

    Returns:
        [1, 1, D, H, W] float32 in [0, 1]: HU clipped to [-1000, 1000].
    """
    size, spacing = volume.frame.size, volume.frame.spacing
    image = volume.pooled(units)
    body = volume.body
    image += body * generator.uniform(0, 12) * smooth_noise(size, spacing, 20.0, generator)
    image += body * generator.uniform(0, 8) * smooth_noise(size, spacing, 90.0, generator)
    image += _streaks(volume, generator)
    image = torch.maximum(image, _table(body, spacing, generator))
    image = blur((image + 1000)[None], generator.uniform(0, 0.22, 3))[0]
    image += generator.uniform(3, 22) * white_noise(size, generator)
    low, high = WINDOW_HU
    return ((image - 1000 - low) / (high - low) * window).clamp(0, 1)[None, None]


def _streaks(volume: AbdomenVolume, generator: np.random.Generator) -> torch.Tensor:
    """Returns waves along random directions of the axial planes, as dense bone and moving gas cause; HU."""
    size = volume.frame.size
    total = torch.zeros(size)
    if generator.random() < 0.6:
        return total
    along = smooth_noise((1, 1, size[2]), volume.frame.spacing, 60.0, generator)
    d, h, _ = volume.frame.points()
    for _ in range(int(generator.integers(1, 4))):
        angle, length = generator.uniform(0, np.pi), generator.uniform(18, 60)
        across = np.cos(angle) * d + np.sin(angle) * h
        near = torch.exp(-(((across - generator.normal(0, 60)) / 30) ** 2))
        total += generator.uniform(0, 15) * torch.sin(across * (2 * np.pi / length)) * near * along
    return total


def _table(body: torch.Tensor, spacing: float, generator: np.random.Generator) -> torch.Tensor:
    """Returns HU of a scanner's table behind the body, [D, H, W], -1000 where there is none."""
    table = torch.full_like(body, -1000.0)
    occupied = (body > 0.5).any(dim=2).any(dim=0).nonzero()
    if generator.random() < 0.4 or not len(occupied):
        return table
    size = body.shape
    d = (torch.arange(size[0]) - (size[0] - 1) / 2) * spacing
    bend = generator.uniform(0, 0.0016) * d.square()
    level = float(occupied[0]) * spacing - generator.uniform(2, 30) + bend
    below = level[:, None] - torch.arange(size[1]) * spacing
    width = generator.uniform(170, 230)
    inside = (below > 0) & (below < generator.uniform(4, 30)) & (d.abs() < width)[:, None]
    sheet = torch.where(inside, generator.uniform(*_TABLE_HU), -1000.0)
    return torch.maximum(table, sheet[:, :, None].expand(size))
