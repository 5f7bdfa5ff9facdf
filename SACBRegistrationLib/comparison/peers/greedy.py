"""greedy: affine, then diffeomorphic registration with local correlation (picsl-greedy)."""

import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

from SACBRegistrationLib.comparison.program import OWN_LABELS, TRANSFORM

AFFINE = "-a -m NCC 4x4x4 -n 100x50x10 -ia-image-centers"
DEFORMABLE = "-m NCC 2x2x2 -n 100x50x20 -e 0.5"
"""Everything else stays as greedy has it by default: smoothing of 1.732 and 0.7071 voxels, no stationary
velocity field."""


def run(job: dict) -> tuple[dict, Callable[[], None]]:
    """Registers one pair; see `SACBRegistrationLib.comparison.program.run_job`."""
    started = time.perf_counter()
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    imported = time.perf_counter()
    greedy = Greedy3D()
    fixed, moving = (sitk.ReadImage(job[role], sitk.sitkFloat32) for role in ("fixed", "moving"))
    threads = f"-threads {job['threads']}"
    begun = time.perf_counter()
    greedy.execute(f"-i fixed moving {AFFINE} {threads} -o affine", fixed=fixed, moving=moving, affine=None)
    aligned = time.perf_counter()
    greedy.execute(f"-i fixed moving {DEFORMABLE} {threads} -it affine -o warp", warp=None)
    seconds = time.perf_counter() - begun
    folder = Path(job["folder"])

    def finish() -> None:
        reference = sitk.ReadImage(job["reference"], sitk.sitkFloat32)
        command = f"-rf reference -r warp affine -rc composed {threads}"
        greedy.execute(command, reference=reference, composed=None)
        sitk.WriteImage(greedy["composed"], str(folder / TRANSFORM))
        if job["own_labels"]:
            labels = [sitk.ReadImage(job[f"{role}_labels"], sitk.sitkInt32) for role in ("fixed", "moving")]
            # Of this interpolation the wrapper returns nothing; it writes to the folder of the process.
            command = f"-ri LABEL 0.2vox -rf fixed_labels -rm moving_labels {OWN_LABELS} {threads}"
            greedy.execute(f"{command} -r warp affine", fixed_labels=labels[0], moving_labels=labels[1])

    version = importlib.metadata.version("picsl-greedy")
    stages = {"alignment": aligned - begun, "deformation": seconds - (aligned - begun)}
    outcome = {"seconds": seconds, "import_seconds": imported - started, "version": version, "stages": stages}
    return outcome, finish
