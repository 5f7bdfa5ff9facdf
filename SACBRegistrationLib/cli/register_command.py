"""`sacb-registration register`: registers two images and writes the result to a folder."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from SACBRegistrationLib.cli.interrupts import interrupts
from SACBRegistrationLib.cli.progress_bar import progress_bar

PRESET_STEPS = "preset"
"""Value of --refine without a number."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("fixed", type=Path, help="fixed image: a file SimpleITK reads, or a DICOM folder")
    parser.add_argument("moving", type=Path, help="moving image, on any grid")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write the result to")
    add_choices(parser)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose how a pair is registered, and the files that go with it."""
    add_settings(parser)
    parser.add_argument("--initial-transform", type=Path, help="start from it: fixed points to moving points")
    parser.add_argument("--fixed-mask", type=Path, help="compare only where this label map is not 0")
    parser.add_argument("--moving-mask", type=Path, help="likewise, for the moving image")
    parser.add_argument("--fixed-labels", type=Path, help="label map for Dice scores")
    parser.add_argument("--moving-labels", type=Path, help="label map for Dice scores; is warped, too")
    parser.add_argument("--inverse", action="store_true", help="also write the inverse transform")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the options that are the same for every pair: one for each of RegistrationSettings."""
    parser.add_argument("--preset", default="ixi", help="bundled preset or preset file (default: ixi)")
    parser.add_argument("--clusters", type=int, help="tissue clusters N, 2 to 32 (default: the preset's)")
    parser.add_argument("--weights", help='checkpoint, or "none" (default: the preset\'s)')
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision",
        default="float32",
        help="float32, tf32, bfloat16 or float16 for the network's products on a GPU (default: float32)",
    )
    parser.add_argument(
        "--memory-limit",
        type=float,
        metavar="GB",
        help="most memory for network and refinement (default: most of what is free)",
    )
    parser.add_argument(
        "--symmetric-passes",
        type=int,
        metavar="N",
        help="rounds of the network in both directions; 0: once, forward (default: as its weights record)",
    )
    parser.add_argument("--alignment", help="none, rigid or affine (default: the preset's)")
    parser.add_argument(
        "--refine",
        type=steps,
        nargs="?",
        const=PRESET_STEPS,
        metavar="STEPS",
        help="refine this pair, at most STEPS steps per resolution (without a number: the preset's)",
    )
    parser.add_argument(
        "--smoothness", type=float, default=1.0, help="of the refinement: above 1 smoother (default: 1)"
    )
    parser.add_argument(
        "--similarity",
        default="auto",
        help="what the refinement compares: ncc (intensities), mind (any contrasts) or auto (default)",
    )
    parser.add_argument(
        "--refine-spacing", type=float, metavar="MM", help="finest voxel size of the refinement, mm"
    )
    parser.add_argument("--field-spacing", type=float, help="spacing of the displacement field, mm")
    parser.add_argument("--seed", type=int, default=0, help="seed of the clustering")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    result = register_files(args)
    print(summary(result.report))
    print(f"The result lies in {args.output}")
    return 0


def register_files(args: argparse.Namespace):
    """Reads the inputs, registers them with a progress bar, and saves the result.

    Args:
        args: What `add_arguments` reads.

    Returns:
        The RegistrationResult.

    Raises:
        UserError: When an input, a choice or the output folder cannot be used.
        CancelledError: When interrupted; nothing has been written.
    """
    begun = time.perf_counter()
    from SACBRegistrationLib.imaging.reading import read_labels, read_mask, read_transform, read_volume
    from SACBRegistrationLib.presets import load_preset
    from SACBRegistrationLib.registration import register
    from SACBRegistrationLib.registration.saving import check_output_folder

    imported = time.perf_counter()
    check_output_folder(args.output)
    steps = load_preset(args.preset).refine_steps if args.refine == PRESET_STEPS else args.refine
    fixed, moving = read_volume(args.fixed, "fixed"), read_volume(args.moving, "moving")
    given = {
        "initial_transform": _read(args.initial_transform, read_transform),
        "fixed_mask": _read(args.fixed_mask, read_mask, "fixed", fixed),
        "moving_mask": _read(args.moving_mask, read_mask, "moving", moving),
        "fixed_labels": _read(args.fixed_labels, read_labels, "fixed"),
        "moving_labels": _read(args.moving_labels, read_labels, "moving"),
    }
    before = {"imports": imported - begun, "reading": time.perf_counter() - imported}
    with progress_bar() as show:
        with interrupts() as cancel:
            result = register(
                fixed,
                moving,
                preset=args.preset,
                clusters=args.clusters,
                weights=args.weights,
                device=args.device,
                alignment=args.alignment,
                refine=steps,
                field_spacing=args.field_spacing,
                similarity=args.similarity,
                smoothness=args.smoothness,
                refine_spacing=args.refine_spacing,
                seed=args.seed,
                precision=args.precision,
                symmetric_passes=args.symmetric_passes,
                memory_limit=args.memory_limit,
                progress=show,
                cancel=cancel,
                **given,
            )
        result = _with_seconds(result, before)
        # Nobody asks the event while the result is written, where Ctrl+C interrupts and everything is undone.
        result.save(args.output, inverse=args.inverse)
    return result


def _with_seconds(result, before: dict[str, float]):
    """Returns the result with what was done before the registration among its report's seconds."""
    seconds = result.report["seconds"]
    total = seconds["total"] + sum(before.values())
    return replace(result, report={**result.report, "seconds": {**before, **seconds, "total": total}})


def summary(report) -> str:
    """Returns what a report says improved, in a few lines."""
    ncc, jacobian = report["local_ncc"], report["jacobian"]
    lines = [
        f"Local NCC  {ncc['before']:.3f} before, {ncc['aligned']:.3f} aligned, {ncc['after']:.3f} registered",
        f"Folding    {jacobian['folding_percent']:.4f} %, Jacobian determinant "
        f"{jacobian['minimum']:.2f} to {jacobian['maximum']:.2f}",
        f"Time       {report['seconds']['total']:.1f} s on {report['device']}",
    ]
    if report["dice"]:
        dice = report["dice"]
        lines.insert(
            1,
            f"Mean Dice  {dice['mean_before']:.3f} before, {dice['mean_aligned']:.3f} aligned, "
            f"{dice['mean_after']:.3f} registered ({len(dice['per_label'])} labels)",
        )
    check = report["self_check"]
    lines.append(f"Self-check {check['verdict']}: {' '.join(check['reasons'])}")
    lines.extend(f"Note       {note}" for note in report["notes"])
    return "\n".join(lines)


def steps(text: str) -> int | str:
    """Reads the value of --refine: a number, or the word for the preset's."""
    return PRESET_STEPS if text == PRESET_STEPS else int(text)


def _read(path: Path | None, reader, *arguments):
    return None if path is None else reader(path, *arguments)
