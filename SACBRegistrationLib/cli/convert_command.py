"""`sacb-registration convert-weights`: turns a checkpoint of SACB-Net's authors into our format."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("input", type=Path, help="checkpoint published by SACB-Net's authors (.pth.tar)")
    parser.add_argument("output", type=Path, help="file to write, such as lpba.pt")
    parser.add_argument("--preset", required=True, help="preset the weights were trained for")
    parser.add_argument("--training-data", metavar="TEXT", help="what they were trained on, to be recorded")
    parser.add_argument("--licence", metavar="TEXT", help="terms they may be used under, to be recorded")
    parser.add_argument("--force", action="store_true", help="replace the output when it exists")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.network.conversion import convert_checkpoint
    from SACBRegistrationLib.presets import load_preset

    preset = load_preset(args.preset)
    path = convert_checkpoint(
        args.input,
        args.output,
        preset,
        training_data=args.training_data,
        licence=args.licence,
        overwrite=args.force,
    )
    print(f"The weights for the preset {preset.name} lie in {path}")
    return 0
