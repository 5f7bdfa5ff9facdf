"""How far phi moves when the network's products are rounded as a GPU's precisions round them.

A CPU stands in for the GPU: the factors of every convolution and matrix product are rounded to TF32,
bfloat16 or float16 (to nearest), the products are summed in float32, and the half precisions round the
results, too. What a GPU leaves in float32 stays so here: clustering, sampling, statistics, flows, and in half
precision the last convolution. Tensor cores sum in another order and may cut where this rounds, so that a
GPU's figures will differ; Testing/Benchmarks/gpu.py measures them there.

    python Testing/Benchmarks/precision_effect.py --data ../shared/data/brain-oasis

Prints one row per weights and precision: the distance of phi from float32's in voxels over the whole grid,
mean and largest, with the clusters of float32 and with clusters of its own.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTING.parent))

from SACBRegistrationLib.imaging.alignment import align  # noqa: E402
from SACBRegistrationLib.imaging.reading import read_volume  # noqa: E402
from SACBRegistrationLib.imaging.resampling import resample  # noqa: E402
from SACBRegistrationLib.imaging.tensors import image_to_tensor  # noqa: E402
from SACBRegistrationLib.network import SACBNet, SACBNetResult, load_checkpoint  # noqa: E402
from SACBRegistrationLib.network.precision import Precision  # noqa: E402
from SACBRegistrationLib.network.spatial_awareness import SpatialAwarenessBlock  # noqa: E402
from SACBRegistrationLib.presets import load_preset  # noqa: E402
from SACBRegistrationLib.registration.inference import place_grid  # noqa: E402
from SACBRegistrationLib.registration.pair import prepare_image  # noqa: E402
from SACBRegistrationLib.text_table import markdown  # noqa: E402

_HALVES = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}
_TF32_CUT = 13
"""Bits of a float32's fraction that TF32 lacks."""
_CONVOLUTIONS = ("aten::convolution", "aten::conv3d", "aten::mkldnn_convolution")
_PRODUCTS = (*_CONVOLUTIONS, "aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul")


def rounded(x: torch.Tensor, precision: Precision) -> torch.Tensor:
    """Returns float32 values rounded to the nearest of the precision, as float32."""
    if precision in _HALVES:
        return x.to(_HALVES[precision]).float()
    bits = x.contiguous().view(torch.int32)
    return ((bits + (1 << (_TF32_CUT - 1))) >> _TF32_CUT << _TF32_CUT).view(torch.float32)


class RoundedProducts(TorchDispatchMode):
    """Rounds the factors of products while it is entered.

    Attributes:
        resting: While true, everything is computed as it is.
        count: Products that were rounded.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self._precision = precision
        self.resting, self.count = False, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Computes an operation of torch."""
        name = func.name().split(".")[0]
        if self.resting or name not in _PRODUCTS or self._stays(name, args):
            return func(*args, **(kwargs or {}))
        self.count += 1
        bias = 0 if name == "aten::addmm" else 2
        args = [
            rounded(value, self._precision) if isinstance(value, torch.Tensor) and index != bias else value
            for index, value in enumerate(args)
        ]
        result = func(*args, **(kwargs or {}))
        return rounded(result, self._precision) if self._precision in _HALVES else result

    def _stays(self, name: str, args: tuple) -> bool:
        """Returns whether this is the convolution that gives a flow, which half precision leaves alone."""
        return name in _CONVOLUTIONS and args[1].shape[0] == 3 and self._precision in _HALVES


@contextmanager
def rounding(precision: Precision) -> Iterator[RoundedProducts]:
    """Rounds the products of a network as this precision does while the block runs."""
    mode, cluster = RoundedProducts(precision), SpatialAwarenessBlock.cluster

    def exactly(*args, **kwargs):
        mode.resting = True
        try:
            return cluster(*args, **kwargs)
        finally:
            mode.resting = False

    with patch.object(SpatialAwarenessBlock, "cluster", exactly), mode:
        yield mode


def effect(
    network: SACBNet, images: tuple[torch.Tensor, torch.Tensor], precision: Precision, expected: SACBNetResult
) -> list[float]:
    """Returns the distance of phi from float32's, voxels: mean, largest; the same with clusters of its own.

    Args:
        network: In evaluation mode, on the CPU.
        images: Moving and fixed, [1, 1, D, H, W] each.
        precision: Not float32.
        expected: What float32 gives.
    """
    with torch.inference_mode():
        figures = []
        for contexts in (expected.contexts, None):
            with rounding(precision):
                found = network(*images, contexts=contexts)
            away = (found.displacement - expected.displacement).norm(dim=1)
            figures += [float(away.mean()), float(away.max())]
    return figures


def _pairs(folder: Path):
    """Yields a description, a network and the pair it runs on."""
    preset = load_preset("ixi")
    fixed, moving = (
        prepare_image(read_volume(folder / f"{name}_t1.nii.gz", role), role, preset.normalization, None, None)
        for name, role in (("1000", "fixed"), ("1001", "moving"))
    )
    aligned = align(
        fixed.normalized, moving.normalized,
        fixed_foreground=fixed.foreground, moving_foreground=moving.foreground,
    )  # fmt: skip
    torch.manual_seed(0)
    for name, network in (
        ("brain.pt", load_checkpoint(preset.weights_path)),
        ("random", SACBNet().eval()),
    ):
        grid = place_grid(fixed, preset, network.info, 10**9).grid
        images = resample(moving.normalized, grid, aligned.transform), resample(fixed.normalized, grid)
        size = "x".join(str(side) for side in grid.size)
        yield f"{name}, {size}", network, *map(image_to_tensor, images)


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_TESTING.parents[1] / "shared/data/brain-oasis")
    rows = []
    for name, network, *images in _pairs(parser.parse_args().data):
        with torch.inference_mode():
            expected = network(*images)
        for precision in list(Precision)[1:]:
            figures = effect(network, images, precision, expected)
            rows.append((name, precision.value, *(f"{value:.2g}" for value in figures)))
            print(*rows[-1], flush=True)
    columns = ("weights, grid", "precision", "mean", "largest", "own clusters: mean", "largest")
    print(*markdown((columns, *rows)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
