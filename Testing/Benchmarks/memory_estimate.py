"""Measures the network's peak memory and the refinement's, beside the estimate.

    python Testing/Benchmarks/memory_estimate.py [--device cuda] [--precision float16] [--quick]

Every size, number of clusters and way of evaluating runs in a process of its own; the peak is that of the
whole process on a CPU (above what it held before the network ran) and what PyTorch reserved on a GPU. The
slope over the sizes gives the bytes per voxel; the table shows how far the estimate with the constants of
network/memory.py and registration/placement.py is from every measurement.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))

_SIZES = ((96, 96, 112), (128, 144, 160), (160, 192, 224))
_QUICK_SIZES = ((48, 48, 64), (64, 64, 80), (64, 80, 96))
_CLUSTERS = (7, 32)
REFINEMENTS = {"refinement, ncc": "ncc", "refinement, mind": "mind"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--ways", nargs="+", default=["whole", "slabs", "tight", *REFINEMENTS])
    parser.add_argument("--quick", action="store_true", help="small grids, to see that it runs")
    parser.add_argument("--output", type=Path, help="JSON file to write the measurements to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(**json.loads(args.one))))
        return
    print(f"| way | size | N | peak MiB | bytes per voxel | committed estimate MiB | off |\n|{' --- |' * 7}")
    rows = []
    sizes = _QUICK_SIZES if args.quick else _SIZES
    for way in args.ways:
        # The middle grid tells what a cluster adds.
        if way in REFINEMENTS:
            # The largest grid is that of the network alone.
            cases = [(size, 7) for size in sizes[:2]]
        else:
            cases = [(size, 7) for size in sizes] + [(sizes[1], n) for n in _CLUSTERS if n != 7]
        for size, clusters in cases:
            rows.append(_measured(size, clusters, way, args.device, args.precision))
            print(_line(rows[-1]), flush=True)
        print(_constants([row for row in rows if row["way"] == way]), flush=True)
    if args.output:
        args.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(size: list, clusters: int, way: str, device: str, precision: str) -> dict:
    """Returns the peak of one forward pass in this process, bytes, and the estimate for it."""
    import torch

    from SACBRegistrationLib.network import SACBNet
    from SACBRegistrationLib.network.memory import Way, estimate, slab_settings
    from SACBRegistrationLib.network.precision import Precision, using_precision
    from SACBRegistrationLib.peak_memory import peak_memory_bytes

    torch.manual_seed(0)
    target = torch.device(device)
    if way in REFINEMENTS:
        return _measure_refinement(size, REFINEMENTS[way], target)
    network = SACBNet(clusters=clusters).eval().to(target)
    moving, fixed = (_image(size, seed).to(target) for seed in (1, 2))
    network.slabs = slab_settings(Way(way))
    with torch.inference_mode(), using_precision(Precision(precision), target):
        # Libraries load and threads start with the first pass.
        network(moving[..., :32, :32, :32], fixed[..., :32, :32, :32])
        before = _held(target)
        network(moving, fixed)
    if target.type == "cuda":
        peak, allocated = torch.cuda.max_memory_reserved(target), torch.cuda.max_memory_allocated(target)
    else:
        peak = allocated = peak_memory_bytes() - before
    voxels = size[0] * size[1] * size[2]
    expected = estimate(voxels, Way(way), target.type, Precision(precision))
    return {"peak": peak, "allocated": allocated, "estimate": expected, "voxels": voxels}


def _measure_refinement(size: list, similarity: str, device) -> dict:
    """Returns the same for some refinement steps on one grid."""
    import torch

    from SACBRegistrationLib.imaging.grid import Grid
    from SACBRegistrationLib.peak_memory import peak_memory_bytes
    from SACBRegistrationLib.registration.placement import refinement_memory
    from SACBRegistrationLib.registration.refinement import RefinementLevel, RefinementSettings, refine

    def level(sides: list) -> RefinementLevel:
        grid = Grid(
            tuple(sides), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        )
        images = (_image(sides, seed).to(device) for seed in (1, 2))
        return RefinementLevel(grid, *images, torch.ones(1, 1, *sides, device=device))

    settings = RefinementSettings(steps=3, similarity=similarity)
    refine([level([32, 32, 32])], None, settings)
    finest = level(size)
    before = _held(device)
    refine([finest], None, settings)
    if device.type == "cuda":
        peak, allocated = torch.cuda.max_memory_reserved(device), torch.cuda.max_memory_allocated(device)
    else:
        peak = allocated = peak_memory_bytes() - before
    voxels = size[0] * size[1] * size[2]
    return {
        "peak": peak,
        "allocated": allocated,
        "estimate": refinement_memory(voxels, similarity),
        "voxels": voxels,
    }


def _measured(size: tuple, clusters: int, way: str, device: str, precision: str) -> dict:
    asked = {"size": size, "clusters": clusters, "way": way, "device": device, "precision": precision}
    command = [sys.executable, __file__, "--one", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)
    if done.returncode:
        sys.exit(done.stderr)
    return {**asked, **json.loads(done.stdout)}


def _image(size: list, seed: int):
    """Returns a smooth random volume [1, 1, D, H, W]."""
    import torch

    coarse = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, tuple(size), mode="trilinear")


def _held(device) -> int:
    """Returns the memory this process holds now, bytes; on a GPU forgets the peak so far."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _line(row: dict) -> str:
    size = "x".join(map(str, row["size"]))
    off = row["estimate"] / row["peak"] - 1
    return (
        f"| {row['way']} | {size} | {row['clusters']} | {row['peak'] / 2**20:.0f} | "
        f"{row['peak'] / row['voxels']:.0f} | {row['estimate'] / 2**20:.0f} | {off:+.0%} |"
    )


def _constants(rows: list[dict]) -> str:
    """Returns what a voxel takes, what comes on top of all voxels, and what each cluster adds."""
    usual = sorted((row for row in rows if row["clusters"] == 7), key=lambda row: row["voxels"])
    small, large = usual[0], usual[-1]
    per_voxel = (large["peak"] - small["peak"]) / (large["voxels"] - small["voxels"])
    fixed = small["peak"] - per_voxel * small["voxels"]
    middle = {
        row["clusters"]: row["peak"] / row["voxels"] for row in rows if row["voxels"] == usual[1]["voxels"]
    }
    many = ", ".join(f"N = {n}: {middle[n]:.0f}" for n in sorted(middle))
    return (
        f"\n{rows[0]['way']}: {per_voxel:.0f} bytes per voxel, fixed {fixed / 2**20:.0f} MiB; bytes per "
        f"voxel of the middle grid with {many}\n"
    )


if __name__ == "__main__":
    main()
