"""One method on one pair, in a process of its own.

Started with the path of a JSON file that holds a job; what it measured is written beside it as outcome.json.
Imports nothing but the standard library before the method does: its own imports are part of what is measured.
"""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.peak_memory import peak_memory_bytes

OUTCOME = "outcome.json"
TRANSFORM = "transform.nrrd"
OWN_LABELS = "own_labels.nii.gz"


def run_job(job: dict) -> dict:
    """Runs a method and returns what it measured, or why it failed.

    Args:
        job: "module" (with a function `run`, see `SACBRegistrationLib.comparison.ours`), and what it needs:
            "fixed", "moving", "reference" (the image on whose grid the transform is wanted), "fixed_labels",
            "moving_labels", "folder", "threads", "device", "own_labels", "settings".

    Returns:
        Of `run`, "seconds" and what else it tells; "process_peak_bytes"; "finish_seconds", spent on writing
        the result in a common form, which is no part of the method. Or "failure", one sentence.
    """
    try:
        outcome, finish = importlib.import_module(job["module"]).run(job)
        outcome["peak_memory_bytes"] = _peak_of_process_tree()
        begun = time.perf_counter()
        finish()
    except UserError as error:
        return {"failure": str(error)}
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())[-300:]
        return {"failure": f"It failed with {type(error).__name__}: {text}"}
    return {**outcome, "finish_seconds": time.perf_counter() - begun}


def _peak_of_process_tree() -> int | None:
    """Returns the most memory of this process or, where it is more, of a program that it started."""
    own = peak_memory_bytes()
    try:
        import resource
    except ImportError:
        # Windows does not keep it.
        return own
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if own is None or not children:
        return own
    return max(own, children if sys.platform == "darwin" else children * 1024)


def main(path: str) -> None:
    """Does the job of a file."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    outcome = run_job(job)
    (Path(job["folder"]) / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
