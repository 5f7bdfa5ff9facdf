"""Pairs small enough to be registered within seconds, with what goes with them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from oblique import blobs, oblique_grid

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.phantom import PhantomPair, make_phantom_pair
from SACBRegistrationLib.network.checkpoint import save_checkpoint
from SACBRegistrationLib.network.sacb_net import SACBNet


@dataclass(frozen=True)
class SmallPair:
    """The phantom pair at three to four millimetres; still oblique, anisotropic and not cubic."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_labels: sitk.Image
    moving_labels: sitk.Image
    phantom: PhantomPair

    def mean_error(self, transform: sitk.Transform) -> float:
        """Returns the mean distance from the true transform over the brain, mm."""
        return float(self.phantom.errors(transform).mean())


def make_small_pair(seed: int = 3) -> SmallPair:
    phantom = make_phantom_pair(seed, landmarks=400, coarsening=1.65)
    # Large voxels average over their volume, which leaves less noise than drawing at their centres.
    fixed, moving = (
        sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), [2, 2, 2])
        for image in (phantom.fixed, phantom.moving)
    )
    labels = (
        sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor)
        for labels, image in ((phantom.fixed_labels, fixed), (phantom.moving_labels, moving))
    )
    return SmallPair(fixed, moving, *labels, phantom)


def blob_pair() -> tuple[sitk.Image, sitk.Image]:
    """Returns two small volumes of the same shapes, 5 mm apart, on different grids."""
    fixed = oblique_grid((24, 20, 18), (2.9, 3.3, 3.7))
    moving = oblique_grid((22, 21, 20), (3.2, 3.0, 3.4), degrees=(-7.0, 12.0, 5.0))
    return blobs(fixed), blobs(moving, center=moving.center + np.array([3.0, -4.0, 0.0]))


def write_preset(folder: Path, size: tuple[int, int, int] = (48, 48, 48), spacing: float = 4.0) -> Path:
    """Writes a preset whose grid is small."""
    path = folder / "small.json"
    document = {
        "name": "small",
        "modality": "mr",
        "size": size,
        "spacing": spacing,
        "axes": "LIA",
        "normalization": {"kind": "percentile", "lower": 0.1, "upper": 99.9},
        "refine_steps": 5,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def write_weights(folder: Path) -> Path:
    """Writes a checkpoint of random weights, which deforms without sense but never the same way twice."""
    torch.manual_seed(11)
    path = folder / "weights.pt"
    save_checkpoint(path, SACBNet(), {"preset": "small"})
    return path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Returns everything below a folder: bytes by relative path, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def same_geometry(first: sitk.Image, second: sitk.Image) -> bool:
    a, b = Grid.from_image(first), Grid.from_image(second)
    pairs = ((a.spacing, b.spacing), (a.origin, b.origin), (a.direction, b.direction))
    return a.size == b.size and all(np.allclose(x, y, atol=1e-5) for x, y in pairs)
