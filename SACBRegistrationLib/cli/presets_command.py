"""`sacb-registration presets`: lists the presets."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SACBRegistrationLib.presets import Preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("preset", nargs="?", help="show one preset, bundled or a file, with its labels")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.presets import list_presets, load_preset

    if args.preset:
        preset = load_preset(args.preset)
        print(_line(preset))
        print(preset.description)
        for value, name in preset.labels.items():
            print(f"{value:6d}  {name}")
        return 0
    for preset in list_presets():
        print(_line(preset))
    return 0


def _line(preset: "Preset") -> str:
    size = "x".join(str(side) for side in preset.size)
    weights = preset.weights_path
    have = "no weights" if weights is None else f"weights {weights.name}"
    return (
        f"{preset.name:<12} {preset.title}: {size} at {preset.spacing:g} mm, {preset.axes}, "
        f"N = {preset.clusters}, {len(preset.labels)} labels, {have}"
    )
