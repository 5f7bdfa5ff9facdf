"""How well real pairs of brains are registered: SACBRegistration beside SyN, on the same machine in one run.

Four pairs of OASIS scans, each registered by every method in a fresh process: the affine alignment alone, the
network alone, the network with refinement, refinement without a network, and SyN where antspyx is installed
(`pip install "sacb-registration[benchmark]"`). Moving labels are warped with nearest neighbour through the
transform that was written and compared with the fixed labels. Run from the repository on an idle machine:

    python Testing/Benchmarks/oasis_pairs.py --markdown docs/benchmarks.md
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
for _folder in (Path(__file__).resolve().parent, REPOSITORY):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT  # noqa: E402

PAIRS = (("1000", "1001"), ("1002", "1006"), ("1007", "1008"), ("1001", "1007"))
PRESET = "ixi"
METHODS = ("affine", "network", "refined", "refine only", "SyN")
NO_SYN = (
    'SyN is left out because {} has no antspyx; install it with pip install "antspyx==0.6.3", there or in an '
    "interpreter of its own that --syn-python names."
)


def settings_of(method: str, steps: int) -> dict:
    """Returns the keyword arguments of register() that make up a method."""
    refine = 0 if method in ("affine", "network") else steps
    without_network = method in ("affine", "refine only")
    return {"preset": PRESET, "refine": refine, **({"weights": "none"} if without_network else {})}


def run_register(job: dict) -> dict:
    """Registers one pair with this project; reading and writing files are not part of the seconds."""
    started = time.perf_counter()
    import SimpleITK as sitk

    from SACBRegistrationLib import register

    imported = time.perf_counter()
    fixed, moving = (sitk.ReadImage(job[role]) for role in ("fixed", "moving"))
    begin = time.perf_counter()
    result = register(fixed, moving, **job["settings"])
    seconds = time.perf_counter() - begin
    result.save(Path(job["folder"]) / "result")
    return {"seconds": seconds, "import_seconds": imported - started}


def run_syn(job: dict) -> dict:
    """Registers one pair with SyN's defaults, its own affine alignment included; warps the labels."""
    started = time.perf_counter()
    import ants

    imported = time.perf_counter()
    fixed, moving, labels = (ants.image_read(job[role]) for role in ("fixed", "moving", "moving_labels"))
    prefix = str(Path(job["folder"]) / "syn_")
    begin = time.perf_counter()
    found = ants.registration(fixed, moving, type_of_transform="SyN", outprefix=prefix)
    seconds = time.perf_counter() - begin
    warped = ants.apply_transforms(fixed, labels, found["fwdtransforms"], interpolator="genericLabel")
    ants.image_write(warped, str(Path(job["folder"]) / "warped_labels.nii.gz"))
    field = next(path for path in found["fwdtransforms"] if path.endswith("Warp.nii.gz"))
    return {
        "seconds": seconds,
        "import_seconds": imported - started,
        "field": field,
        "version": ants.__version__,
    }


def in_process_of_its_own(job: dict, python: str, threads: int) -> dict:
    """Runs one registration in a fresh interpreter and returns what it measured.

    Raises:
        RuntimeError: When it fails, with the end of what it said.
    """
    names = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    # The command line sets torch's variables too; a benchmark that calls register() would miss them.
    environment = {**TORCH_ENVIRONMENT, **os.environ, **{name: str(threads) for name in names}}
    file = Path(job["folder"]) / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    begin = time.perf_counter()
    done = subprocess.run(
        [python, str(Path(__file__).resolve()), "--job", str(file)],
        env=environment,
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{job['method']} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return {**json.loads(file.read_text(encoding="utf-8"))["outcome"], "process_seconds": wall}


def score(job: dict, measured: dict) -> dict:
    """Adds Dice and folding, both computed from the files that the method wrote."""
    import SimpleITK as sitk

    from SACBRegistrationLib.evaluation.dice import common_labels, dice_per_label, mean_dice
    from SACBRegistrationLib.imaging.grid import Grid
    from SACBRegistrationLib.imaging.jacobian import folding_percent

    folder = Path(job["folder"])
    fixed, moving = (sitk.ReadImage(job[f"{role}_labels"], sitk.sitkInt32) for role in ("fixed", "moving"))
    result = dict(measured)
    if job["method"] == "SyN":
        warped = sitk.ReadImage(str(folder / "warped_labels.nii.gz"), sitk.sitkInt32)
        # SyN's affine part has a positive determinant, so its deformation alone decides about folding.
        field = sitk.ReadImage(result.pop("field"), sitk.sitkVectorFloat64)
    else:
        file = str(folder / "result" / "transform.nrrd")
        field = sitk.ReadImage(file, sitk.sitkVectorFloat64)
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(file, sitk.sitkVectorFloat64))
        warped = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkInt32)
        report = json.loads((folder / "result" / "report.json").read_text(encoding="utf-8"))
        result |= {"report": report, "folding_reported": report["jacobian"]["folding_percent"]}
    labels = common_labels(fixed, moving)
    return {
        **result,
        "dice": mean_dice(dice_per_label(fixed, warped, labels)),
        "labels": len(labels),
        "folding_percent": folding_percent(field, Grid.from_image(fixed)),
    }


def run_pair(data: Path, pair: tuple[str, str], methods: list[str], options: argparse.Namespace) -> dict:
    """Registers one pair by every method and returns the rows by method."""
    files = {"fixed": pair[0], "moving": pair[1]}
    inputs = {role: str(data / f"{name}_t1.nii.gz") for role, name in files.items()}
    inputs.update({f"{role}_labels": str(data / f"{name}_labels.nii.gz") for role, name in files.items()})
    rows = {}
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            job = {"method": method, "folder": folder, **inputs}
            if method != "SyN":
                job["settings"] = settings_of(method, options.steps)
            python = options.syn_python if method == "SyN" else sys.executable
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            rows[method] = score(job, in_process_of_its_own(job, python, options.threads))
            rows[method]["load_before"] = load
        row = rows[method]
        print(
            f"{pair[0]} from {pair[1]}  {method:12s} Dice {row['dice']:.3f}  "
            f"folding {row['folding_percent']:7.4f} %  {row['seconds']:6.1f} s",
            flush=True,
        )
    return rows


def main() -> int:
    """Runs the benchmark; returns 1 when a target is missed or could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of the scans; default: shared data")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "results" / "oasis_pairs.json")
    parser.add_argument("--markdown", type=Path, help="rewrite the section 'Last run' of this file")
    parser.add_argument("--quick", action="store_true", help="the first pair only")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, help="refinement steps; default: the preset's")
    parser.add_argument("--threads", type=int, default=2, help="threads of every method")
    parser.add_argument("--syn-python", default=sys.executable, help="interpreter that has antspyx")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job.read_text(encoding="utf-8"))
        job["outcome"] = run_syn(job) if job["method"] == "SyN" else run_register(job)
        options.job.write_text(json.dumps(job), encoding="utf-8")
        return 0

    import oasis_report

    from SACBRegistrationLib.presets import load_preset

    data = options.data or REPOSITORY.parent / "shared" / "data" / "brain-oasis"
    pairs = PAIRS[: 1 if options.quick else None]
    missing = [name for pair in pairs for name in pair if not (data / f"{name}_t1.nii.gz").is_file()]
    if missing:
        parser.error(f"{data} has no {missing[0]}_t1.nii.gz; give the folder of the OASIS scans")
    preset = load_preset(PRESET)
    options.steps = preset.refine_steps if options.steps is None else options.steps
    methods = list(options.methods)
    if {"network", "refined"} & set(methods) and not (preset.weights_path and preset.weights_path.is_file()):
        parser.error(f"the weights of preset {PRESET} are missing; choose --methods that need none")
    probe = [options.syn_python, "-c", "import ants"]
    if "SyN" in methods and subprocess.run(probe, capture_output=True).returncode:
        print(NO_SYN.format(options.syn_python))
        methods.remove("SyN")
    rows = {f"{fixed} from {moving}": run_pair(data, (fixed, moving), methods, options)
            for fixed, moving in pairs}  # fmt: skip
    outcome = {
        "circumstances": oasis_report.circumstances(rows, options.threads, options.steps, PRESET),
        "pairs": rows,
        "verdicts": oasis_report.verdicts(rows, complete=len(pairs) == len(PAIRS)),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(outcome, indent=1), encoding="utf-8")
    print("\n" + oasis_report.plain_text(outcome) + f"\n\nwritten to {options.output}")
    if options.markdown:
        oasis_report.rewrite_section(options.markdown, outcome)
    return 0 if all(verdict["met"] for verdict in outcome["verdicts"]) else 1


if __name__ == "__main__":
    sys.exit(main())
