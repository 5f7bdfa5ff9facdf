"""Measures everything that needs a GPU, in one call, and writes gpu.json and gpu.md.

    python Testing/Benchmarks/gpu.py [--output FOLDER] [--size 160 192 224] [--repeats 20]

Runs the tests that need a GPU, then on the bundled phantom pair with the bundled weights: the forward pass in
every precision, with and without Triton, in slabs, and with the channels first; the published computation;
what the host waited for; where the time went; and a whole registration with refinement. What fails is written
down, and the rest goes on. Exit codes: 0 when everything ran and the tests passed, 1 when something failed, 2
when there is no GPU. About ten minutes. `--rehearse` runs all of it on the CPU at a tiny size, to see that it
would run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))

TESTS = (
    "triton_kernels",
    "triton_lloyd",
    "precision",
    "clustering_device",
    "slabs",
    "network_slabs",
    "gpu_path",
    "placement",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu-benchmark"), help="folder to write to")
    parser.add_argument("--size", type=int, nargs=3, default=(160, 192, 224))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, tiny, without the tests")
    args = parser.parse_args()
    import torch

    if not args.rehearse and not torch.cuda.is_available():
        print("No CUDA GPU was found; run this where torch.cuda.is_available() is true.", file=sys.stderr)
        return 2
    size, repeats = ((32, 32, 48), 1) if args.rehearse else (tuple(args.size), args.repeats)
    args.output.mkdir(parents=True, exist_ok=True)
    from gpu_report import markdown

    outcome = measure_all("cpu" if args.rehearse else "cuda", size, repeats, not args.rehearse)
    (args.output / "gpu.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")
    text = markdown(outcome)
    (args.output / "gpu.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if outcome["failures"] or outcome["tests"].get("failed") else 0


def measure_all(kind: str, size: tuple[int, int, int], repeats: int, tests: bool) -> dict:
    """Returns every figure; what failed is under "failures"."""
    import torch
    from gpu_measures import forward, kernels, operators, published

    from SACBRegistrationLib.benchmark.circumstances import circumstances
    from SACBRegistrationLib.network.memory import WAYS, Way
    from SACBRegistrationLib.network.precision import Precision, using_precision
    from SACBRegistrationLib.network.triton_support import triton_usable

    device = torch.device(kind)
    outcome = {
        "circumstances": {**circumstances(0), **_gpu(device)},
        "size": list(size),
        "tests": run_tests() if tests else {},
        "triton": triton_usable(device),
        "forward": [],
        "published": None,
        "operators": {},
        "registration": None,
        "failures": [],
    }
    _say("the pair")
    with tempfile.TemporaryDirectory() as folder:
        network, images, files = load_pair(Path(folder), size, device)
        with torch.inference_mode(), using_precision(Precision.FLOAT32, device):
            expected = network(*images)

        def row(what: str, precision: Precision, way: Way, triton: bool, layout: str) -> None:
            def measure() -> dict:
                with kernels(os.environ, triton):
                    return forward(network, images, precision, way, repeats, expected)

            name = f"{what}: {precision.value}, {way.value}, Triton {'on' if triton else 'off'}, {layout}"
            found = _attempt(name, measure, outcome["failures"])
            described = {"precision": precision.value, "way": way.value, "triton": triton, "layout": layout}
            if found is not None:
                outcome["forward"].append({"what": what, **described, **found})

        first, last = "channels first", "channels last"
        # A CPU computes with halves so slowly that nobody would rehearse.
        precisions = tuple(Precision) if kind == "cuda" else (Precision.FLOAT32, Precision.TF32)
        for precision in precisions:
            for triton in (True, False):
                row("precision", precision, Way.WHOLE, triton, last)
        for way in WAYS[1:]:
            for precision in (precisions[0], precisions[-1]):
                row("slabs", precision, way, True, last)
        network.to(memory_format=torch.contiguous_format)
        for precision in precisions:
            row("layout", precision, Way.WHOLE, True, first)
        for part in (network.encoder, network.final):
            part.to(memory_format=torch.channels_last_3d)
        for precision in precisions:
            found = _attempt(
                f"operators in {precision.value}",
                lambda precision=precision: operators(network, images, precision),
                outcome["failures"],
            )
            outcome["operators"][precision.value] = found or []
        outcome["published"] = _attempt(
            "published computation", lambda: published(network, images, max(1, repeats // 10)),
            outcome["failures"],
        )  # fmt: skip
        outcome["registration"] = _attempt(
            "registration", lambda: registration(files, kind, 5 if kind == "cpu" else 60), outcome["failures"]
        )
    return outcome


def load_pair(folder: Path, size: tuple[int, int, int], device, paths: tuple[Path, Path] | None = None):
    """Returns the network on the device, moving and fixed there, and the pair's files.

    Args:
        folder: Written to.
        size: Of the network's grid.
        device: Where to.
        paths: Fixed and moving; None takes the bundled phantom.
    """
    import numpy as np
    import torch

    from SACBRegistrationLib.benchmark.pair import write_pair, write_weights
    from SACBRegistrationLib.network import load_checkpoint
    from SACBRegistrationLib.presets import load_preset

    preset = load_preset("ixi")
    pair = write_pair(paths, preset, size, folder)
    network = load_checkpoint(write_weights(preset, folder)).to(device)
    network.kmeans = replace(network.kmeans, seed=0)
    with np.load(pair.inputs, allow_pickle=False) as arrays:
        images = tuple(
            torch.from_numpy(np.ascontiguousarray(arrays[role]))[None, None].to(device)
            for role in ("moving", "fixed")
        )
    return network, images, pair


def registration(pair, kind: str, steps: int) -> dict:
    """Returns the seconds of a registration's stages, of the second run, and its notes."""
    from SACBRegistrationLib.imaging.reading import read_volume
    from SACBRegistrationLib.registration import register

    fixed, moving = read_volume(pair.fixed, "fixed"), read_volume(pair.moving, "moving")
    for _ in range(2):
        report = register(fixed, moving, preset="ixi", device=kind, refine=steps).report
    keys = ("seconds", "refinement_steps", "local_ncc", "network_run", "notes")
    return {key: report[key] for key in keys}


def run_tests() -> dict:
    """Runs the tests that need a GPU; returns pytest's last line and whether they failed."""
    _say("the tests")
    files = [str(_ROOT / "Testing" / "Python" / f"test_{name}.py") for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *files],
        cwd=_ROOT, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-500:]]
    return {"summary": lines[-1], "failed": done.returncode != 0, "end": "\n".join(lines[-40:])}


def _gpu(device) -> dict:
    import torch

    if device.type != "cuda":
        return {"cuda": None, "gpu_memory": None, "capability": None}
    properties = torch.cuda.get_device_properties(device)
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gpu_memory": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }


def _attempt(what: str, run: Callable[[], object], failures: list[str]):
    """Returns what a measurement returns; None when it failed, which is written down."""
    _say(what)
    try:
        return run()
    except Exception as error:
        traceback.print_exc()
        failures.append(f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return None


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
