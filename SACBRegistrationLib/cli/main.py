"""The command `sacb-registration` and its subcommands."""

import argparse
import io
import logging
import os
import sys

from SACBRegistrationLib import __version__
from SACBRegistrationLib.cli import (
    ablate_command,
    benchmark_command,
    compare_command,
    convert_command,
    demo_command,
    evaluate_command,
    presets_command,
    register_command,
    train_command,
)
from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT

EXIT_DONE, EXIT_FAILED, EXIT_USER = 0, 1, 2

_COMMANDS = {
    "register": (register_command, "register a moving image to a fixed one"),
    "demo": (demo_command, "register a bundled pair, or your own, and show what improved"),
    "benchmark": (benchmark_command, "measure how fast and how small everything is on this computer"),
    "compare": (compare_command, "run other registration programs on the same pairs, in the same run"),
    "evaluate": (evaluate_command, "register and measure a list of pairs as the paper does"),
    "presets": (presets_command, "list the presets"),
    "train": (train_command, "train a network on scans, or on images synthesised from label maps"),
    "ablate": (ablate_command, "train and tabulate the networks of one of the paper's ablations"),
    "convert-weights": (convert_command, "turn a checkpoint of SACB-Net's authors into ours"),
}

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        0; 2 for what the user can mend (one sentence on standard error); 1 otherwise.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where output is redirected, Windows gives it a code page that lacks most letters.
        sys.stdout.reconfigure(errors="replace")
    args = _parser().parse_args(argv)
    for name, value in TORCH_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.WARNING, format="%(message)s")
    command, _ = _COMMANDS[args.command]
    try:
        return command.run(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER
    except (CancelledError, KeyboardInterrupt):
        print("Cancelled; nothing was written.", file=sys.stderr)
        return EXIT_FAILED
    except Exception as error:
        logger.debug("%s", error, exc_info=True)
        print(
            f"Something went wrong ({type(error).__name__}: {error}); --verbose shows where.", file=sys.stderr
        )
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sacb-registration", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="show what happens, and errors in full")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (command, text) in _COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=text, description=text))
    return parser


if __name__ == "__main__":
    sys.exit(main())
