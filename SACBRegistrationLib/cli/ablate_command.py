"""`sacb-registration ablate`: trains the networks of one of the paper's ablations and tabulates them."""

import argparse
import logging

from SACBRegistrationLib.cli.progress_bar import progress_bar
from SACBRegistrationLib.cli.train_options import add_options, training_from
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.progress import Progress

_SETS = ("levels", "clusters", "table3", "feature-mean")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "set", choices=_SETS,
        help="Table 3 by level, by N, or whole; Table 4 by feature mean",
    )  # fmt: skip
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.training.ablation import ABLATIONS, check_scored, run_ablation
    from SACBRegistrationLib.training.ablation_table import csv_table, markdown_table
    from SACBRegistrationLib.training.launch import start_devices

    logging.getLogger("SACBRegistrationLib").setLevel(logging.INFO)
    settings, data = training_from(args, scored=True)
    check_scored(data)
    fabric = start_devices(settings.devices)
    with progress_bar() as callback:
        rows = run_ablation(ABLATIONS[args.set], settings, data, Progress(callback=callback), fabric)
    if not fabric.is_global_zero:
        return 0
    if rows is None:
        print("Stopped; the same command goes on from here.")
        return 0
    text = markdown_table(rows)
    try:
        (settings.output / f"{args.set}.csv").write_text(csv_table(rows), encoding="utf-8")
        (settings.output / f"{args.set}.md").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"The table cannot be written to {settings.output}; make room there.") from error
    print(text)
    return 0
