"""`sacb-registration benchmark`: how fast and how small the network and whole registrations are here."""

import argparse
import json
import sys
from pathlib import Path

_QUICK_SIZE, _QUICK_REPEATS = (64, 80, 96), 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("--preset", default="ixi", help="preset of the weights and the axes (default: ixi)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=3,
        metavar="SIDE",
        help="voxels of the network's grid (default: 160 192 224)",
    )
    parser.add_argument(
        "--repeats", type=int, help="runs of everything but the published computation on a CPU (default: 3)"
    )
    parser.add_argument("--quick", action="store_true", help="a small grid (64 80 96) and two runs")
    parser.add_argument(
        "--skip-reference",
        action="store_true",
        help="leave out the computation as published, which takes minutes and 3 GB: no ratios then",
    )
    parser.add_argument(
        "--pair", type=Path, nargs=2, metavar=("FIXED", "MOVING"), help="your pair (default: the phantom)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to this file")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.benchmark import table
    from SACBRegistrationLib.benchmark.run import BenchmarkSettings, run_benchmark
    from SACBRegistrationLib.errors import UserError

    if args.json is not None and not args.json.absolute().parent.is_dir():
        raise UserError(f"The folder of {args.json} does not exist; make it, or give another file.")
    usual = _QUICK_REPEATS if args.quick else BenchmarkSettings.repeats
    chosen = BenchmarkSettings(
        preset=args.preset,
        size=tuple(args.size or (_QUICK_SIZE if args.quick else BenchmarkSettings.size)),
        repeats=usual if args.repeats is None else args.repeats,
        reference=not args.skip_reference,
        pair=tuple(args.pair) if args.pair else None,
        threads=args.threads,
    )
    outcome = run_benchmark(chosen, lambda what: print(f"measuring {what}", file=sys.stderr))
    print(table.markdown(outcome) if args.markdown else table.plain_text(outcome))
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    return 0
