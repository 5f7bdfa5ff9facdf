"""SyN of ANTs, with its defaults and its own affine alignment (antspyx)."""

import time
from collections.abc import Callable
from pathlib import Path

from SACBRegistrationLib.comparison.program import OWN_LABELS, TRANSFORM


def run(job: dict) -> tuple[dict, Callable[[], None]]:
    """Registers one pair; see `SACBRegistrationLib.comparison.program.run_job`.

    The seconds are those of `ants.registration`, which writes its transforms to files and warps both images.
    """
    started = time.perf_counter()
    import ants

    imported = time.perf_counter()
    fixed, moving = (ants.image_read(job[role]) for role in ("fixed", "moving"))
    folder = Path(job["folder"])
    begun = time.perf_counter()
    found = ants.registration(fixed, moving, type_of_transform="SyN", outprefix=str(folder / "syn_"))
    seconds = time.perf_counter() - begun
    transforms = found["fwdtransforms"]

    def finish() -> None:
        reference = ants.image_read(job["reference"])
        composed = ants.apply_transforms(
            reference, moving, transforms, compose=str(folder / "composed_"), whichtoinvert=None
        )
        ants.image_write(ants.image_read(composed), str(folder / TRANSFORM))
        if job["own_labels"]:
            fixed_labels, labels = (ants.image_read(job[f"{role}_labels"]) for role in ("fixed", "moving"))
            warped = ants.apply_transforms(fixed_labels, labels, transforms, interpolator="genericLabel")
            ants.image_write(warped, str(folder / OWN_LABELS))

    return {"seconds": seconds, "import_seconds": imported - started, "version": ants.__version__}, finish
