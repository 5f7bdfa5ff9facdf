"""What K-Means is given in practice: the context vectors of real scans."""

from pathlib import Path

import torch
from shared_data import REPOSITORY

from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.network import SACBNet, load_checkpoint
from SACBRegistrationLib.network.spatial_awareness import context_vectors
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.inference import place_grid
from SACBRegistrationLib.registration.pair import prepare_image

WEIGHTS = REPOSITORY / "Resources/Weights/brain.pt"


def network(weights: str) -> SACBNet:
    """Returns the network with the bundled weights ("brain") or those of a seed ("0", "1", ...)."""
    if weights == "brain":
        return load_checkpoint(WEIGHTS)
    torch.manual_seed(int(weights))
    return SACBNet(7, "spatial").eval()


def scan(file: Path, preset_name: str) -> torch.Tensor:
    """Returns a scan on its preset's grid as the network sees it, [1, 1, D, H, W]."""
    preset = load_preset(preset_name)
    image = prepare_image(read_volume(file, "fixed"), "fixed", preset.normalization, None, None)
    return image_to_tensor(resample(image.normalized, place_grid(image, preset, {}, 10**9).grid))


@torch.inference_mode()
def vectors_of(net: SACBNet, tensor: torch.Tensor) -> dict[int, torch.Tensor]:
    """Returns the context vectors [V, C] of every level (2 to 5) of a scan [1, 1, D, H, W]."""
    features, found = net.encoder(tensor), {}
    for level in net.sacb_levels:
        projected = net.sacb[str(level)].project(features[level])
        vectors = context_vectors(projected, net.feature_mean)[0]
        found[level] = vectors.reshape(-1, vectors.shape[-1])
    return found
