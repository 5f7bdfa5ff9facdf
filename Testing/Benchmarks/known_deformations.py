"""How far the transforms that are found lie from known ones, in mm over the brain.

Alters real scans by smooth random fields of several lengths, with a turn, scaling and shift on top (see
altered.py), registers the altered copy as fixed image with the scan as moving image, each method in a process
of its own, and compares the field that was written with the truth. Run from the repository:

    python Testing/Benchmarks/known_deformations.py --data ../shared/data/brain-oasis -o results/known

The folder gets known_deformations.json and .md, and keeps every measurement, which --resume goes on with. The
exit code is 0 when the mean error of the refined result is below 1.0 mm for every field of 10 mm.
"""

import argparse
import json
import os
import sys
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

_TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTING.parent))
sys.path.insert(0, str(_TESTING))

from Benchmarks.altered import Alteration, AlteredScan, alter, transform_errors  # noqa: E402

from SACBRegistrationLib import __version__, text_table  # noqa: E402
from SACBRegistrationLib.benchmark.circumstances import circumstances  # noqa: E402
from SACBRegistrationLib.comparison.methods import METHODS, chosen_methods  # noqa: E402
from SACBRegistrationLib.comparison.ours import checkpoint_digest, register_options  # noqa: E402
from SACBRegistrationLib.comparison.process import run_in_process  # noqa: E402
from SACBRegistrationLib.comparison.program import TRANSFORM  # noqa: E402
from SACBRegistrationLib.comparison.store import Store  # noqa: E402
from SACBRegistrationLib.errors import UserError  # noqa: E402
from SACBRegistrationLib.imaging.foreground import foreground_mask  # noqa: E402
from SACBRegistrationLib.imaging.grid import Grid  # noqa: E402
from SACBRegistrationLib.imaging.jacobian import folding_percent  # noqa: E402
from SACBRegistrationLib.imaging.reading import read_volume  # noqa: E402
from SACBRegistrationLib.presets import Preset, load_preset  # noqa: E402

OURS = [name for name, method in METHODS.items() if method.peer is None]
JUDGED, JUDGED_FIELD, MOST_MM = "refined", 10.0, 1.0
BEFORE, MEAN = "before", "mean"
HEADER = ("scan", "method", "field mm", "mean mm", "p95 mm", "max mm", "folding %", "seconds")
_FIGURES = ("mean_mm", "p95_mm", "max_mm", "folding_percent", "seconds")
_FORMS = (".2f", ".2f", ".2f", ".4f", ".1f")


def altered_copy(scan: Path, largest: float, seed: int) -> AlteredScan:
    """Returns an altered copy, the same one for the same scan, length and seed whatever else is run."""
    image = read_volume(scan, "moving")
    rng = np.random.default_rng([seed, zlib.crc32(scan.name.encode()), round(1000 * largest)])
    return alter(image, foreground_mask(image), Alteration(largest), rng)


def statistics(errors: np.ndarray) -> dict[str, float]:
    """Returns mean, 95th percentile and maximum of distances, mm."""
    return {
        "mean_mm": float(errors.mean()),
        "p95_mm": float(np.percentile(errors, 95)),
        "max_mm": float(errors.max()),
    }


def measure(job: dict, copy: AlteredScan, threads: int) -> dict:
    """Registers and returns the errors of the transform that was written, or "failure"."""
    with tempfile.TemporaryDirectory(prefix="sacb-known-") as folder:
        measured = run_in_process({**job, "folder": folder}, sys.executable, threads)
        if "failure" in measured:
            return measured
        field = sitk.ReadImage(str(Path(folder) / TRANSFORM), sitk.sitkVectorFloat64)
    folding = folding_percent(field, Grid.from_image(copy.image))
    errors = transform_errors(sitk.DisplacementFieldTransform(field), copy.truth, copy.inside)
    return {**measured, "folding_percent": folding, **statistics(errors)}


def run_cases(options: argparse.Namespace, preset: Preset) -> dict[str, dict]:
    """Returns the measurements of every case (scan and length), by its name.

    Raises:
        UserError: When a scan or the output folder cannot be used.
    """
    common = {
        "preset": preset.name,
        "threads": options.threads,
        "device": options.device,
        "seed": options.seed,
        # As it is read back.
        "alteration": json.loads(json.dumps({**asdict(Alteration(0.0)), "largest": None})),
    }
    store = Store(options.output, common, options.resume)
    return {
        f"{_name(scan)}_{largest:g}mm": run_case(scan, largest, options, preset, store)
        for scan in options.scans
        for largest in options.largest
    }


def run_case(
    scan: Path, largest: float, options: argparse.Namespace, preset: Preset, store: Store
) -> dict[str, object]:
    """Returns what every method makes of one altered copy, from the store where it is there already."""
    name = f"{_name(scan)}_{largest:g}mm"
    copy = altered_copy(scan, largest, options.seed)
    before = transform_errors(sitk.Transform(3, sitk.sitkIdentity), copy.truth, copy.inside)
    rows = {BEFORE: statistics(before)}
    steps = preset.refine_steps if options.refine is None else options.refine
    with tempfile.TemporaryDirectory(prefix="sacb-known-") as folder:
        fixed = Path(folder) / "fixed.nrrd"
        sitk.WriteImage(copy.image, str(fixed))
        for method in chosen_methods(options.methods):
            inputs = {"scan": [scan.name, scan.stat().st_size], "version": __version__}
            if method.network:
                inputs["weights"] = checkpoint_digest(preset.weights_path)
            if method.refined:
                inputs["refine"] = steps
            measured = store.get(name, method.name, inputs)
            if measured is None:
                job = {
                    "module": "SACBRegistrationLib.comparison.ours",
                    "ours": True,
                    "device": options.device,
                    "fixed": str(fixed),
                    "moving": str(scan.absolute()),
                    "settings": register_options(method, options.preset, steps, None),
                }
                measured = {"inputs": inputs, **measure(job, copy, options.threads)}
                store.put(name, method.name, measured)
            rows[method.name] = measured
            print(f"{name}  {method.name}  {_told(measured)}", file=sys.stderr, flush=True)
    return {
        "scan": _name(scan),
        "largest_mm": largest,
        "least_jacobian": copy.least_jacobian,
        "methods": rows,
    }


def _name(scan: Path) -> str:
    return scan.name.removesuffix("_t1.nii.gz")


def _told(measured: dict) -> str:
    return measured.get("failure") or f"{measured['mean_mm']:.2f} mm, {measured['seconds']:.1f} s"


def verdict(cases: dict[str, dict]) -> tuple[bool | None, str]:
    """Returns whether the target is met (None where nothing could be judged), and a sentence."""
    judged = {
        name: case["methods"].get(JUDGED, {"failure": "It did not run."})
        for name, case in cases.items()
        if case["largest_mm"] == JUDGED_FIELD
    }
    what = f"mean error of {JUDGED} below {MOST_MM:g} mm for every field of {JUDGED_FIELD:g} mm"
    missing = [name for name, row in judged.items() if "failure" in row]
    if missing or not judged:
        return None, f"{what}: not judged; no result of {', '.join(missing) or 'such a field'}."
    worst = max(judged, key=lambda name: judged[name]["mean_mm"])
    error = judged[worst]["mean_mm"]
    met = error < MOST_MM
    return met, f"{what}: {'met' if met else 'MISSED'}; worst {worst} with {error:.2f} mm."


def table(cases: dict[str, dict]) -> list[tuple[str, ...]]:
    """Returns the header, a row per case and method, then the means over the scans by length and method."""
    rows = [HEADER]
    by_length: dict[float, list[dict]] = {}
    for case in cases.values():
        by_length.setdefault(case["largest_mm"], []).append(case["methods"])
        rows += [_row(case["scan"], name, case["largest_mm"], row) for name, row in case["methods"].items()]
    for largest, found in by_length.items():
        for method in found[0] if len(found) > 1 else ():
            measured = [row[method] for row in found]
            if not any("failure" in row for row in measured):
                means = {
                    figure: float(np.mean([row[figure] for row in measured]))
                    for figure in _FIGURES
                    if figure in measured[0]
                }
                rows.append(_row(MEAN, method, largest, means))
    return rows


def _row(scan: str, method: str, largest: float, row: dict) -> tuple[str, ...]:
    cells = [
        format(row[figure], form) if figure in row else ""
        for figure, form in zip(_FIGURES, _FORMS, strict=True)
    ]
    if "failure" in row:
        cells[0] = "failed"
    return (scan, method, f"{largest:g}", *cells)


def notes(outcome: dict) -> list[str]:
    """Returns sentences on where it ran, how the scans were altered, the target, and what went wrong."""
    where, settings = outcome["circumstances"], outcome["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    how = Alteration(0.0)
    least = min(case["least_jacobian"] for case in outcome["cases"].values())
    return [
        f"{where['date']}, {where['processor']}, {where['cores']} cores, {where['gpu'] or 'no GPU'}, "
        f"{where['system']}; {settings['threads']} threads, device {settings['device']}; preset "
        f"{settings['preset']}, weights {settings['weights']}. {versions}.",
        f"Truth: cubic B-splines of random weights, control points {how.control_spacing:g} mm apart, scaled "
        f"to the given largest displacement over the brain; least Jacobian determinant {least:.2f}: nothing "
        f"folds. On top a turn of {how.degrees:g} degrees, scaling by up to {how.scaling:.0%}, a shift of "
        f"{how.shift:g} mm.",
        f"Fixed: the copy, on a grid turned by up to {how.tilt:g} degrees about each axis, spacings "
        f"{', '.join(f'{s:g}' for s in how.spacings)} mm, interpolated with cubic splines, exponent "
        f"{how.gamma:g} on intensities, Rician noise of {how.noise:.0%}. Moving: the scan.",
        f"Error: distance of the transform that was written from the truth, at every second voxel of the "
        f"brain in each direction. {BEFORE}: no registration.",
        outcome["verdict"],
        *(
            f"{name}, {method}: {row['failure']}"
            for name, case in outcome["cases"].items()
            for method, row in case["methods"].items()
            if "failure" in row
        ),
    ]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Returns the options; "scans" are files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_TESTING.parents[1] / "shared/data/brain-oasis")
    parser.add_argument("--scans", nargs="+", metavar="NAME", help="only NAME_t1.nii.gz (default: all)")
    parser.add_argument("--largest", type=float, nargs="+", default=[5.0, 10.0, 20.0], metavar="MM")
    parser.add_argument("--methods", nargs="+", default=["affine", "network", "refined"], choices=OURS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="ixi")
    parser.add_argument("--refine", type=int, metavar="STEPS", help="most steps (default: the preset's)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--resume", action="store_true", help="go on with what the folder holds already")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the measurements")
    options = parser.parse_args(argv)
    pattern = [f"{name}_t1.nii.gz" for name in options.scans or ["*"]]
    options.scans = sorted(path for name in pattern for path in options.data.glob(name))
    if not options.scans:
        parser.error(f"{options.data} has no {' or '.join(pattern)}; name the folder with --data")
    return options


def main(argv: list[str] | None = None) -> int:
    """Runs the cases; returns 0 when the target is met, 2 when something cannot be used, else 1."""
    options = arguments(argv)
    try:
        preset = load_preset(options.preset)
        cases = run_cases(options, preset)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    met, sentence = verdict(cases)
    outcome = {
        "circumstances": circumstances(options.threads),
        "settings": {
            "preset": preset.name,
            "weights": checkpoint_digest(preset.weights_path),
            "threads": options.threads,
            "device": options.device,
            "seed": options.seed,
        },
        "met": met,
        "verdict": sentence,
        "cases": cases,
    }
    lines, remarks = table(cases), notes(outcome)
    markdown = [*text_table.markdown(lines), "", *(f"- {line}" for line in remarks)]
    for name, text in (("json", json.dumps(outcome, indent=1)), ("md", "\n".join(markdown))):
        (options.output / f"known_deformations.{name}").write_text(text + "\n", encoding="utf-8")
    print("\n".join([*text_table.aligned(lines), "", *remarks]))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
