"""`sacb-registration train`: trains a network on recorded scans, or on images synthesised from label maps."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from SACBRegistrationLib.cli.progress_bar import progress_bar
from SACBRegistrationLib.cli.train_options import add_options, training_from
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_options(parser)
    network = parser.add_argument_group("network")
    network.add_argument("--clusters", type=int, help="tissue clusters N (default: the preset's)")
    network.add_argument("--feature-mean", choices=["spatial", "channel", "mixed"], default="spatial")
    network.add_argument(
        "--sacb-levels", nargs="+", choices=["5", "4", "3", "2", "none"], default=["5", "4", "3", "2"],
        help="levels with a spatial-awareness block (default: 5 4 3 2)",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on with the training in the output folder")
    start.add_argument("--from", dest="start_from", type=Path, help="checkpoint to start from")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.training.launch import start_devices
    from SACBRegistrationLib.training.train import check_training, train

    logging.getLogger("SACBRegistrationLib").setLevel(logging.INFO)
    levels = _levels(args.sacb_levels)
    settings, data = training_from(args)
    settings = replace(
        settings,
        clusters=settings.clusters if args.clusters is None else args.clusters,
        feature_mean=args.feature_mean,
        sacb_levels=levels,
        resume=args.resume,
        start_from=args.start_from,
    )
    check_training(settings, data)
    fabric = start_devices(settings.devices)
    with progress_bar() as callback:
        outcome = train(settings, data, Progress(callback=callback), fabric)
    if fabric.is_global_zero:
        stopped = "" if outcome.finished else "Stopped; --resume goes on from here. "
        print(f"{stopped}The weights lie in {outcome.weights}")
    return 0


def _levels(names: list[str]) -> tuple[int, ...]:
    if "none" in names:
        if len(names) > 1:
            raise UserError("The SACB levels are none and others at once; give one or the other.")
        return ()
    return tuple(sorted({int(name) for name in names}, reverse=True))
