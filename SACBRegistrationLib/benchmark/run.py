"""The whole benchmark: which measurements are made, each in a process of its own, and what they say."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from SACBRegistrationLib.benchmark.circumstances import circumstances
from SACBRegistrationLib.benchmark.pair import BenchmarkPair, write_pair, write_weights
from SACBRegistrationLib.benchmark.program import PUBLISHED
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.itk_path import itk_folder
from SACBRegistrationLib.presets import Preset, load_preset
from SACBRegistrationLib.registration.devices import choose_device
from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes:
        preset: Preset whose weights and grid axes are used.
        size: Voxels of the network's grid along its axes; multiples of 16.
        repeats: Forward passes and registrations; the best and the median count.
        reference: Whether the published computation is measured too; on a CPU once, as it takes minutes.
        pair: Fixed and moving image; None takes the bundled phantom.
        threads: CPU threads of every measurement; 0 leaves it to torch.
    """

    preset: str = "ixi"
    size: tuple[int, int, int] = (160, 192, 224)
    repeats: int = 3
    reference: bool = True
    pair: tuple[Path, Path] | None = None
    threads: int = 0


def run_benchmark(settings: BenchmarkSettings, report: Callable[[str], None]) -> dict:
    """Measures the network's forward pass and whole registrations.

    Args:
        settings: What to measure.
        report: Told in a few words what is being measured.

    Returns:
        "circumstances", "passes" and "registrations", as docs/benchmarks.md describes.

    Raises:
        UserError: When a setting or an image cannot be used.
        RuntimeError: When a measurement fails; with the end of what it said.
    """
    _check(settings)
    preset = load_preset(settings.preset)
    where = circumstances(settings.threads)
    with tempfile.TemporaryDirectory(prefix="sacb-benchmark-") as temporary:
        folder = itk_folder(temporary)
        report("the pair")
        pair = write_pair(settings.pair, preset, settings.size, folder)
        weights = write_weights(preset, folder)
        passes = _passes(settings, preset, pair, weights, folder, report)
        registrations = _registrations(settings, preset, pair, weights, folder, report)
    return {
        "circumstances": {
            **where,
            "preset": preset.name,
            "pair": "bundled phantom" if settings.pair is None else "given",
            "size": list(settings.size),
            "spacing_mm": pair.spacing,
            "weights": "random" if weights is None else preset.weights_path.name,
        },
        "passes": with_ratios(passes),
        "registrations": registrations,
    }


def with_ratios(passes: Sequence[dict]) -> list[dict]:
    """Adds to every pass how it compares with the published computation on the same device.

    Args:
        passes: Each with "what", "device", "median_seconds", "peak_memory_bytes" and "gpu_memory_bytes".

    Returns:
        The same with "times_faster" and "share_of_memory"; None without the published computation.
    """
    result = []
    for found in passes:
        base = next((p for p in passes if p["what"] == PUBLISHED and p["device"] == found["device"]), None)
        memory = "gpu_memory_bytes" if found["device"] == "cuda" else "peak_memory_bytes"
        known = base is not None and base[memory] and found[memory]
        result.append(
            {
                **found,
                "times_faster": base["median_seconds"] / found["median_seconds"] if base else None,
                "share_of_memory": found[memory] / base[memory] if known else None,
            }
        )
    return result


def _check(settings: BenchmarkSettings) -> None:
    if any(side < 16 or side % 16 for side in settings.size) or max(settings.size) == 16:
        raise UserError(
            f"The size {' '.join(map(str, settings.size))} does not fit the network; give three multiples of "
            "16, one at least above 16."
        )
    if settings.repeats < 1:
        raise UserError(f"The number of repeats is {settings.repeats}; give 1 or more.")
    if settings.threads < 0:
        raise UserError(f"The number of threads is {settings.threads}; give 1 or more, or 0 for all.")


def _passes(
    settings: BenchmarkSettings,
    preset: Preset,
    pair: BenchmarkPair,
    weights: Path | None,
    folder: Path,
    report: Callable[[str], None],
) -> list[dict]:
    devices = ("cpu", "cuda") if choose_device("auto").type == "cuda" else ("cpu",)
    # First, as the network's result is compared with its.
    kinds = (PUBLISHED, "network") if settings.reference else ("network",)
    found = []
    for device in devices:
        for what in kinds:
            report(f"{what} on {device}")
            once = what == PUBLISHED and device == "cpu"
            job = {
                "what": what,
                "device": device,
                "threads": settings.threads,
                "repeats": 1 if once else settings.repeats,
                "clusters": preset.clusters,
                "weights": None if weights is None else str(weights),
                "inputs": str(pair.inputs),
                "exchange": str(folder / "published.pt"),
            }
            file = folder / "job.json"
            file.write_text(json.dumps(job), encoding="utf-8")
            # The published code knew nothing of them either.
            environment = {} if what == PUBLISHED else TORCH_ENVIRONMENT
            _python(["-m", "SACBRegistrationLib.benchmark.program", str(file)], settings.threads, environment)
            outcome = json.loads(file.read_text(encoding="utf-8"))["outcome"]
            found.append({"what": what, "device": device, **_summarized(outcome.pop("seconds")), **outcome})
    return found


def _registrations(
    settings: BenchmarkSettings,
    preset: Preset,
    pair: BenchmarkPair,
    weights: Path | None,
    folder: Path,
    report: Callable[[str], None],
) -> list[dict]:
    sized = ["--preset", str(pair.preset), "--weights", str(weights or "none"), "--refine", "0"]
    variants = {"at the network's full size": sized, "refined, with the inverse": [
        "--preset", settings.preset, "--refine", str(preset.refine_steps), "--inverse",
    ]}  # fmt: skip
    return [
        _registration(name, options, settings, pair, folder / "result", report)
        for name, options in variants.items()
    ]


def _registration(
    name: str,
    options: list[str],
    settings: BenchmarkSettings,
    pair: BenchmarkPair,
    output: Path,
    report: Callable[[str], None],
) -> dict:
    """Runs the command as a user does and returns seconds of the whole process and of its stages."""
    files = [str(pair.fixed), str(pair.moving), "-o", str(output)]
    command = ["-m", "SACBRegistrationLib.cli.main", "register", *files, *options]
    walls, reports = [], []
    for number in range(settings.repeats):
        report(f"register, {name}, {number + 1} of {settings.repeats}")
        begun = time.perf_counter()
        _python(command, settings.threads, TORCH_ENVIRONMENT)
        walls.append(time.perf_counter() - begun)
        reports.append(json.loads((output / "report.json").read_text(encoding="utf-8")))
    stages = {
        stage: _summarized([found["seconds"][stage] for found in reports])
        for stage in reports[0]["seconds"]
        if stage != "total"
    }
    rest = [wall - found["seconds"]["total"] for wall, found in zip(walls, reports, strict=True)]
    last = reports[-1]
    return {
        "what": name,
        **_summarized(walls),
        "stages": {**stages, "start and end": _summarized(rest)},
        "peak_memory_bytes": max((found["peak_memory_bytes"] or 0) for found in reports) or None,
        "device_name": last["device"],
        "network_grid": last["network_grid"],
        "local_ncc": last["local_ncc"],
    }


def _summarized(seconds: list[float]) -> dict:
    return {"best_seconds": min(seconds), "median_seconds": statistics.median(seconds), "runs": len(seconds)}


def _python(arguments: list[str], threads: int, torch_environment: Mapping[str, str]) -> None:
    """Runs this Python with the package on its path.

    Args:
        arguments: Of the interpreter.
        threads: CPU threads; 0 leaves them to every library.
        torch_environment: What there is of TORCH_ENVIRONMENT.

    Raises:
        RuntimeError: When it fails.
    """
    path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    # The command line has set its own for whatever it starts.
    inherited = {name: value for name, value in os.environ.items() if name not in TORCH_ENVIRONMENT}
    environment = {**inherited, **torch_environment, "PYTHONPATH": path, "PYTHONUTF8": "1"}
    if threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
        environment |= dict.fromkeys(names, str(threads))
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise RuntimeError(f"a measurement failed: {done.stderr.strip()[-4000:]}")
