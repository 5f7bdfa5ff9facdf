"""Counts the memory of the network's tensors on a GPU, without one, and prints it beside the estimate.

    python Testing/Benchmarks/memory_count.py [--size 160 192 224]

The network runs on tensors without data, which takes the GPU's path; after every operation the bytes of all
tensors that are alive are added up. What is not seen is the work space inside an operation, above all that of
a convolution, and what the allocator and the libraries hold.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from SACBRegistrationLib.network import KMeansSettings, SACBNet, sacb_net, spatial_awareness
from SACBRegistrationLib.network.memory import WAYS, Way, estimate, slab_settings
from SACBRegistrationLib.network.precision import Precision


class PeakCounter(TorchDispatchMode):
    """Adds up the tensors that operations made and that are alive.

    Attributes:
        peak: The most that there was at once, bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Runs an operation and counts."""
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                reference = StorageWeakRef(tensor.untyped_storage())
                self._alive[reference.cdata] = (reference, tensor.untyped_storage().nbytes())
        self._alive = {key: found for key, found in self._alive.items() if not found[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def counted_peak(size: tuple[int, int, int], way: Way, precision: Precision, triton: bool) -> int:
    """Returns the most memory that the tensors of a forward pass take at once, bytes; the images included.

    Args:
        size: (D, H, W) of the images.
        way: How the full resolution is evaluated.
        precision: Float32 or a half precision.
        triton: Whether the Triton kernels serve.
    """
    half = precision in (Precision.FLOAT16, Precision.BFLOAT16)
    network = SACBNet(clusters=2, kmeans=KMeansSettings(max_steps=1)).eval().to("meta")
    network.slabs = slab_settings(way)
    if half:
        _make_half(network)
    images = [torch.empty(1, 1, *size, device="meta", dtype=torch.half if half else None) for _ in range(2)]
    with torch.inference_mode(), kernels(triton), PeakCounter() as counter:
        # Otherwise only what the operations make would be counted.
        moving, fixed = (image + 0 for image in images)
        network(moving, fixed)
    return counter.peak


def _make_half(network: SACBNet) -> None:
    """Gives the parameters the types that autocast gives their copies."""
    network.encoder.half()
    network.final.half()
    network.final.estimate[-1].float()
    for block in network.sacb.values():
        block.project.half()
        block.weight.data = block.weight.data.half()


@contextmanager
def kernels(on: bool) -> Iterator[None]:
    """Puts what the kernels return in place of the plain functions while the block runs."""
    former = spatial_awareness.adaptive_convolution, sacb_net.match
    if on:
        spatial_awareness.adaptive_convolution = lambda features, *_: torch.empty_like(features)
        sacb_net.match = lambda moving, fixed, window: fixed.new_empty(
            1, 3, *fixed.shape[2:], dtype=torch.float32
        )
    try:
        yield
    finally:
        spatial_awareness.adaptive_convolution, sacb_net.match = former


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=(160, 192, 224))
    size = tuple(parser.parse_args().size)
    voxels = size[0] * size[1] * size[2]
    print(f"| way | precision | Triton | MiB | bytes per voxel | estimate MiB |\n|{' --- |' * 6}")
    for way in WAYS:
        for precision in (Precision.FLOAT32, Precision.FLOAT16):
            for triton in (True, False):
                peak = counted_peak(size, way, precision, triton)
                expected = estimate(voxels, way, "cuda", precision)
                print(
                    f"| {way.value} | {precision.value} | {'on' if triton else 'off'} | {peak / 2**20:.0f} | "
                    f"{peak / voxels:.0f} | {expected / 2**20:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
