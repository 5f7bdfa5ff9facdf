"""Counts what a GPU would be told to do in one forward pass, without one, and prints it.

    python Testing/Benchmarks/launch_count.py [--size 160 192 224] [--pair FIXED MOVING]

Every operation that is no view and no mere allocation counts as one launch; some are more inside. A launch
takes the host several microseconds, so that thousands of them keep a fast GPU waiting. The operations are
counted on tensors without data, which take the GPU's path; how many steps K-Means takes is found by running
the network on a CPU, on the bundled phantom or on your own pair.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gpu import load_pair
from memory_count import kernels

from SACBRegistrationLib.network import KMeansSettings, SACBNet, clustering

TRITON_STEP = 2
"""Launches of a step of Lloyd's with the Triton kernels."""


class LaunchCounter(TorchDispatchMode):
    """Counts the operations that start work on a device.

    Attributes:
        launches: How many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Runs an operation and counts."""
        self.launches += not (_is_view(function) or function.__name__.startswith("empty"))
        return function(*args, **(kwargs or {}))


def _is_view(function) -> bool:
    aliases = [result.alias_info for result in function._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def launches(size: tuple[int, int, int], steps: int, triton: bool) -> int:
    """Returns the launches of a forward pass whose clusterings take so many of Lloyd's steps in torch each.

    Args:
        size: (D, H, W) of the images.
        steps: Of each of the eight clusterings; the kernels of Triton's steps are not counted here.
        triton: Whether the kernels of the convolution and of the matching serve.
    """
    network = SACBNet(kmeans=KMeansSettings(max_steps=steps)).eval().to("meta")
    moving, fixed = (torch.empty(1, 1, *size, device="meta") for _ in range(2))
    # In inference mode operations made of others would count as one.
    with torch.no_grad(), kernels(triton), LaunchCounter() as counter:
        network(moving, fixed)
    return counter.launches


def lloyd_steps(size: tuple[int, int, int], paths: tuple[Path, Path] | None) -> list[int]:
    """Returns the steps of every clustering of a forward pass with the weights of "ixi".

    Args:
        size: (D, H, W) of the network's grid.
        paths: Fixed and moving; None takes the bundled phantom.
    """
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), _recorded_steps() as taken:
        network, images, _ = load_pair(Path(folder), size, torch.device("cpu"), paths)
        network(*images)
    return taken


@contextmanager
def _recorded_steps() -> Iterator[list[int]]:
    """Gives a list to which every clustering adds its steps while the block runs."""
    taken, former = [], clustering._kmeans

    def record(*arguments):
        found = former(*arguments)
        taken.append(found.steps)
        return found

    clustering._kmeans = record
    try:
        yield taken
    finally:
        clustering._kmeans = former


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=(160, 192, 224))
    parser.add_argument("--pair", type=Path, nargs=2, metavar=("FIXED", "MOVING"))
    args = parser.parse_args()
    size = tuple(args.size)
    taken = lloyd_steps(size, args.pair and tuple(args.pair))
    print(
        f"Lloyd's steps, level 5 to 2, fixed and moving: {', '.join(map(str, taken))}; {sum(taken)} in all.\n"
    )
    print(f"| Triton | outside K-Means' steps | of a step | in all |\n|{' ---: |' * 4}")
    for triton in (True, False):
        rest = launches(size, 0, triton)
        step = TRITON_STEP if triton else (launches(size, 2, False) - launches(size, 1, False)) // len(taken)
        print(f"| {'on' if triton else 'off'} | {rest} | {step} | {rest + sum(taken) * step} |")


if __name__ == "__main__":
    main()
