"""This project's own methods, run as a method of the comparison."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from SACBRegistrationLib.comparison.methods import Method
from SACBRegistrationLib.comparison.program import TRANSFORM


def run(job: dict) -> tuple[dict, Callable[[], None]]:
    """Registers one pair; reading files is no part of the seconds, writing none either.

    Args:
        job: See `SACBRegistrationLib.comparison.program.run_job`; "settings" are `register`'s arguments.

    Returns:
        "seconds", "import_seconds", "stages" (seconds of each) and "notes"; and what is left to be done.
    """
    started = time.perf_counter()
    from SACBRegistrationLib import __version__, register
    from SACBRegistrationLib.imaging.reading import read_volume

    imported = time.perf_counter()
    fixed, moving = (read_volume(job[role], role) for role in ("fixed", "moving"))
    begun = time.perf_counter()
    result = register(fixed, moving, device=job["device"], **job["settings"])
    seconds = time.perf_counter() - begun
    folder = Path(job["folder"])
    # A user gets all of it: it belongs to the whole process.
    result.save(folder / "result")
    outcome = {
        "seconds": seconds,
        "import_seconds": imported - started,
        "version": __version__,
        "stages": dict(result.report["seconds"]),
        "gpu_memory_bytes": result.report.get("gpu_memory_bytes"),
        "notes": list(result.report["notes"]),
    }
    return outcome, lambda: _finish(folder)


def register_options(method: Method, preset: str, steps: int, weights: str | None) -> dict:
    """Returns `register`'s arguments for one of this project's methods.

    Args:
        method: The method.
        preset: Name of a preset, or its file.
        steps: Most refinement steps per resolution, where the method refines.
        weights: Checkpoint of the network; None takes the preset's.
    """
    options = {"preset": preset, "refine": steps if method.refined else 0}
    if not method.network:
        return {**options, "weights": "none"}
    return options if weights is None else {**options, "weights": weights}


def checkpoint_digest(path: Path | None) -> str | None:
    """Returns the first digits of a checkpoint's SHA-256, or None where there is none."""
    if path is None or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _finish(folder: Path) -> None:
    (folder / "result" / TRANSFORM).replace(folder / TRANSFORM)
