"""How far apart two scans may lie for the affine alignment to bring them together.

Displaces and turns the OASIS scans at random, samples the copies on other grids, aligns them again and prints
the mean error over the brain, trial by trial. Run from the repository:

    python Testing/Benchmarks/alignment_capture.py --data ../shared/data/brain-oasis
"""

import argparse
import sys
from pathlib import Path

import numpy as np

_TESTING = Path(__file__).resolve().parents[1]
for _folder in (_TESTING / "Python", _TESTING.parent):
    sys.path.insert(0, str(_folder))

from oblique import displaced_copy, mean_error, random_rigid  # noqa: E402

from SACBRegistrationLib.imaging.alignment import align  # noqa: E402
from SACBRegistrationLib.imaging.alignment_levels import center_of_mass  # noqa: E402
from SACBRegistrationLib.imaging.foreground import foreground_mask  # noqa: E402
from SACBRegistrationLib.imaging.reading import read_volume  # noqa: E402

KINDS = ("header", "oblique", "noisy")


def run_trial(file: Path, seed: int, kind: str, angle: float, shift: float) -> tuple[float, float]:
    """Returns the mean error over the brain (mm) and the seconds of one displaced and realigned scan."""
    rng = np.random.default_rng(seed)
    fixed = read_volume(file, "fixed")
    brain = foreground_mask(fixed)
    truth = random_rigid(rng, center_of_mass(brain), angle, shift)
    result = align(fixed, displaced_copy(fixed, truth, rng, kind), "affine")
    return mean_error(result.transform, truth, brain), result.seconds


def main() -> int:
    """Runs the trials; returns 1 when fewer than 19 in 20 succeed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_TESTING.parents[1] / "shared/data/brain-oasis")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--angle", type=float, default=25.0, help="largest turn, degrees")
    parser.add_argument("--shift", type=float, default=80.0, help="largest displacement, mm")
    parser.add_argument("--tolerance", type=float, default=2.0, help="largest mean error of a success, mm")
    options = parser.parse_args()
    files = sorted(options.data.glob("*_t1.nii.gz"))
    if not files:
        parser.error(f"no *_t1.nii.gz in {options.data}")
    errors, times = [], []
    for trial in range(options.trials):
        file, kind = files[trial % len(files)], KINDS[(trial + trial // 6) % len(KINDS)]
        error, seconds = run_trial(file, options.seed + trial, kind, options.angle, options.shift)
        errors.append(error)
        times.append(seconds)
        print(
            f"trial {trial + 1:2d}  {file.name:16s} {kind:8s} error {error:7.2f} mm  {seconds:5.1f} s",
            flush=True,
        )
    successes = int((np.asarray(errors) <= options.tolerance).sum())
    print(
        f"{successes} of {options.trials} within {options.tolerance:g} mm; "
        f"median error {np.median(errors):.2f} mm, mean time {np.mean(times):.1f} s"
    )
    return 0 if successes >= 0.95 * options.trials else 1


if __name__ == "__main__":
    raise SystemExit(main())
