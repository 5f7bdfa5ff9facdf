"""`sacb-registration compare`: other registration programs on the same pairs, in the same run."""

import argparse
import json
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "pairs",
        type=Path,
        help="CSV file with the columns fixed, moving, fixed_labels, moving_labels and, optionally, name",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the measurements")
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help='among affine, network, refined, "refine only", syn, greedy, elastix, convexadam (default: all)',
    )
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has the other programs (default: this one)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of every method (default: all)")
    parser.add_argument("--preset", default="ixi", help="bundled preset or preset file (default: ixi)")
    parser.add_argument("--weights", help="checkpoint of the network (default: the preset's)")
    parser.add_argument("--refine", type=int, metavar="STEPS", help="most steps (default: the preset's)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--resume", action="store_true", help="go on with what the folder holds already")
    parser.add_argument(
        "--redo", nargs="+", default=[], metavar="METHOD", help="with --resume: measure these once more"
    )
    parser.add_argument("--hd95", action="store_true", help="also measure HD95")
    parser.add_argument(
        "--own-labels",
        action="store_true",
        help="warp labels also as SyN (genericLabel) and greedy (LABEL 0.2vox) do it, which takes minutes",
    )
    parser.add_argument(
        "--spacing",
        type=float,
        metavar="MM",
        help="coarsen images for the other programs; 0 leaves them (default: a CT preset's spacing)",
    )
    parser.add_argument(
        "--clip",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="limit intensities for the other programs (default: a CT preset's window)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code: 1 when a method failed on a pair."""
    from SACBRegistrationLib.comparison import table
    from SACBRegistrationLib.comparison.methods import METHODS, chosen_methods
    from SACBRegistrationLib.comparison.pairs import read_pairs
    from SACBRegistrationLib.comparison.preparing import peer_inputs
    from SACBRegistrationLib.comparison.run import ComparisonSettings, run_comparison
    from SACBRegistrationLib.errors import UserError
    from SACBRegistrationLib.presets import load_preset

    if args.threads < 0:
        raise UserError(f"The number of threads is {args.threads}; give 1 or more, or 0 for all.")
    preset = load_preset(args.preset)
    if args.weights is not None and not os.path.isfile(args.weights):
        raise UserError(f"There is no checkpoint {args.weights}; give another file.")
    settings = ComparisonSettings(
        preset=preset,
        preset_file=os.path.abspath(args.preset) if os.path.isfile(args.preset) else str(args.preset),
        methods=tuple(chosen_methods(args.methods or METHODS)),
        python=_interpreter(args.python),
        threads=args.threads or _usable_cores(),
        device=args.device,
        weights=None if args.weights is None else os.path.abspath(args.weights),
        refine=args.refine,
        peers=peer_inputs(preset, args.spacing, None if args.clip is None else tuple(args.clip)),
        own_labels=args.own_labels,
        distances=args.hd95,
        again=tuple(method.name for method in chosen_methods(args.redo)),
    )
    try:
        outcome = run_comparison(read_pairs(args.pairs), settings, args.output, args.resume, _show)
    except KeyboardInterrupt:
        print(f"Stopped; what was measured stays in {args.output}, and --resume goes on.", file=sys.stderr)
        return 1
    outcome["means"] = table.means(outcome["pairs"])
    (args.output / "comparison.json").write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    (args.output / "comparison.md").write_text(table.markdown(outcome) + "\n", encoding="utf-8")
    print(table.plain_text(outcome))
    return int(any("failure" in found for row in outcome["pairs"].values() for found in row.values()))


def _show(number: int, total: int, pair, method, measured: dict) -> None:
    if "failure" in measured:
        what = measured["failure"]
    else:
        what = f"Dice {measured['dice']:.3f}, {measured['seconds']:.1f} s"
    print(f"{number}/{total}  {pair.name}  {method.name}  {what}", file=sys.stderr, flush=True)


def _interpreter(text: str) -> str:
    """Returns a path as it is found from every folder; a link stays one, as it tells the environment."""
    return os.path.abspath(text) if os.path.dirname(text) else text


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
