"""Random images of label volumes: contrast, texture, bias field, blur, noise and gamma."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from SACBRegistrationLib.training.deformation import smooth_noise
from SACBRegistrationLib.training.label_classes import BACKGROUND, BRAIN_CLASSES, CSF
from SACBRegistrationLib.training.label_volume import LabelVolume

_PERCENTILES = (0.001, 0.999)
_LEAST_CONTRAST = 0.15


@dataclass(frozen=True)
class Contrast:
    """What the classes of one image look like.

    Attributes:
        means: Intensity of every class, [classes] float32; 0 for the background.
        texture: Standard deviation of the intensity between voxels of one class.
    """

    means: np.ndarray
    texture: float


def random_contrast(t1: bool, generator: np.random.Generator) -> Contrast:
    """Returns a contrast like that of a T1 image, or any contrast that tells white from grey matter."""
    tissues = sorted({c.tissue for c in BRAIN_CLASSES})
    if t1:
        factor = dict(zip(tissues, 1 + 0.06 * generator.standard_normal(len(tissues)), strict=True))
        means = np.array([c.t1 * factor[c.tissue] for c in BRAIN_CLASSES])
    else:
        level = dict(zip(tissues, generator.uniform(0.1, 1.0, len(tissues)), strict=True))
        if abs(level["white"] - level["grey"]) < _LEAST_CONTRAST:
            level["white"] = 1.1 - level["grey"]
        means = np.array([level[c.tissue] for c in BRAIN_CLASSES])
    return _contrast(means * (1 + 0.02 * _symmetric_normal(generator)), generator.uniform(0.01, 0.04))


def varied(contrast: Contrast, generator: np.random.Generator) -> Contrast:
    """Returns the contrast of another scan of the same kind: slightly different."""
    means = contrast.means * (1 + 0.02 * _symmetric_normal(generator))
    return _contrast(means, contrast.texture * generator.uniform(0.7, 1.3))


def _contrast(means: np.ndarray, texture: float) -> Contrast:
    means = np.clip(means, 0.05, None)
    means[BACKGROUND] = 0
    return Contrast(means.astype(np.float32), texture)


def _symmetric_normal(generator: np.random.Generator) -> np.ndarray:
    """Returns one normal deviate per class, the same for left and right."""
    names = [min(c.name, c.mirror) for c in BRAIN_CLASSES]
    drawn = dict(zip(names, generator.standard_normal(len(names)), strict=True))
    return np.array([drawn[name] for name in names])


def strip_fluid(volume: LabelVolume, generator: np.random.Generator) -> LabelVolume:
    """Returns the volume with the fluid around the brain removed as brain extraction tools do it.

    Some leave none, most leave what lies in the sulci, few leave all.

    Args:
        volume: The labels.
        generator: Source of the random numbers.
    """
    kind, threshold = generator.random(), generator.uniform(0.35, 0.65)
    fluid = volume.classes == CSF
    if kind < 0.1:
        return volume
    if kind < 0.6:
        share = volume.pooled((volume.classes > CSF).float())
        # A box of about 3 cm twice: sulci lie among brain, the fluid over the gyri does not.
        width = int(15.0 / volume.spacing / 2) * 2 + 1
        for axis in (0, 1, 2):
            kernel = [width if axis == other else 1 for other in range(3)]
            share = F.avg_pool3d(share, kernel, stride=1, padding=[k // 2 for k in kernel])
        fluid = fluid & (share.reshape(-1)[volume.blocks] < threshold)
    return volume.kept(~fluid)


def render(volume: LabelVolume, contrast: Contrast, generator: np.random.Generator) -> torch.Tensor:
    """Returns a random image of a label volume.

    Args:
        volume: The labels; background stays 0.
        contrast: What the classes look like.
        generator: Source of the random numbers.

    Returns:
        [1, 1, D, H, W] float32 in [0, 1], normalised like a preset does: 0 in the background and the 0.1 to
        99.9 percentile of the foreground to [0, 1].
    """
    size, spacing = volume.size, volume.spacing
    image = volume.pooled(torch.from_numpy(contrast.means)[volume.classes])
    inside = volume.pooled(torch.ones(len(volume.classes)))
    texture = contrast.texture * white_noise(size, generator)
    texture += generator.uniform(0, 0.04) * smooth_noise(size, spacing, 8.0, generator)
    bias = torch.exp(generator.uniform(0, 0.15) * smooth_noise(size, spacing, 80.0, generator))
    image = image * ((1 + texture) * bias)
    weight = generator.uniform(0, 0.2, 3)
    image, inside = (blur(each, weight) for each in (image, inside))
    image = image + generator.uniform(0, 0.025) * white_noise(size, generator) * inside
    gamma, headroom = np.exp(0.15 * generator.standard_normal()), generator.uniform(1, 1.15)
    return _normalized(image.clamp(min=0), inside, gamma, headroom)[None]


def white_noise(size: tuple[int, int, int], generator: np.random.Generator) -> torch.Tensor:
    """Returns independent unit normal deviates, [D, H, W] float32."""
    return torch.from_numpy(generator.standard_normal(size, dtype=np.float32))


def blur(volume: torch.Tensor, weight: np.ndarray) -> torch.Tensor:
    """Smooths [1, D, H, W] with (a, 1 - 2a, a) along each axis, zero outside."""
    for axis, a in enumerate(weight):
        n = volume.shape[1 + axis]
        smooth = volume * (1 - 2 * float(a))
        smooth.narrow(1 + axis, 1, n - 1).add_(volume.narrow(1 + axis, 0, n - 1), alpha=float(a))
        smooth.narrow(1 + axis, 0, n - 1).add_(volume.narrow(1 + axis, 1, n - 1), alpha=float(a))
        volume = smooth
    return volume


def _normalized(image: torch.Tensor, inside: torch.Tensor, gamma: float, headroom: float) -> torch.Tensor:
    values = image[inside > 0.9]
    if values.numel() < 2:
        return torch.zeros_like(image)
    low, high = torch.quantile(values, torch.tensor(_PERCENTILES))
    # The presets set the background to 0 before they resample, so voxels at the edge hold a share of both.
    scaled = (image - low * inside) / ((high - low) * headroom).clamp(min=1e-6)
    return scaled.clamp(0, 1) ** gamma
