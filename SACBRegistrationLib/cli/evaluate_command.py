"""`sacb-registration evaluate`: registers and measures a list of pairs, with the paper's figures."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from SACBRegistrationLib.cli import register_command
from SACBRegistrationLib.cli.interrupts import interrupts
from SACBRegistrationLib.cli.progress_bar import progress_bar

_EXIT_DONE, _EXIT_FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "pairs",
        type=Path,
        help="CSV file with the columns fixed, moving, fixed_labels, moving_labels, and where wanted name, "
        "transform (measured instead of registering), initial_transform, fixed_mask, moving_mask; relative "
        "paths start at the file's folder",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write the results to")
    register_command.add_settings(parser)
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help='labels to score: numbers, names of the preset, or "preset" for all of its own '
        "(default: every label that both maps of a pair hold)",
    )
    parser.add_argument("--no-ssim", action="store_true", help="leave out SSIM, which needs scikit-image")
    parser.add_argument(
        "--published",
        default="auto",
        metavar="TABLE",
        help="print the paper's figures beside: ixi, lpba, abdomen-ct or none (default: auto, where exactly "
        "its structures were scored in as many pairs)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip pairs that the folder holds with the same files and choices",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code: 1 when a pair failed or Ctrl+C ended it early."""
    from SACBRegistrationLib.presets import load_preset
    from SACBRegistrationLib.settings import RegistrationSettings
    from SACBRegistrationLib.study.pair_list import read_pair_list
    from SACBRegistrationLib.study.run import run_study
    from SACBRegistrationLib.study.settings import StudySettings, choose_labels

    pairs = read_pair_list(args.pairs)
    preset = load_preset(args.preset)
    labels, named = choose_labels(args.labels, preset)
    given = {
        item.name: getattr(args, item.name) for item in fields(RegistrationSettings) if item.name in args
    }
    if given["refine"] == register_command.PRESET_STEPS:
        given["refine"] = preset.refine_steps
    settings = StudySettings(RegistrationSettings(**given), labels, named, ssim=not args.no_ssim)
    with progress_bar() as show, interrupts() as cancel:
        outcome = run_study(pairs, settings, args.output, args.resume, args.published, show, cancel)
    failed = [record for record in outcome.records if record.error is not None]
    if len(failed) < len(outcome.records):
        print(outcome.table)
    if outcome.resumed:
        print(f"{outcome.resumed} of {outcome.pairs} pairs were done before")
    print(f"The results lie in {args.output}")
    if outcome.cancelled:
        print(
            f"Cancelled; {len(outcome.records)} of {outcome.pairs} pairs are kept, and --resume goes on.",
            file=sys.stderr,
        )
    if failed:
        print(
            f"{len(failed)} of {outcome.pairs} pairs failed; mend them and give --resume to do the rest.",
            file=sys.stderr,
        )
    return _EXIT_FAILED if failed or outcome.cancelled else _EXIT_DONE
