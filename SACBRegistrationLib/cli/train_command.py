"""`sacb-registration train`: trains a network on images synthesised from label maps."""

import argparse
import logging
from pathlib import Path

from SACBRegistrationLib.cli.progress_bar import progress_bar
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("--preset", default="ixi", help="preset the weights are for (default: ixi)")
    parser.add_argument(
        "--label-maps", type=Path, required=True,
        help="folder of FreeSurfer-valued label maps; for abdomen-ct, of scans NAME_ct and maps NAME_seg "
        "with TotalSegmentator's values",
    )  # fmt: skip
    parser.add_argument(
        "--validation", nargs="*", default=[], metavar="NAME",
        help="file names (or their endings before the suffix, such as _13) held out for validation",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of weights.pt and the metrics"
    )
    parser.add_argument("--steps", type=int, help="steps after which to stop")
    parser.add_argument("--minutes", type=float, help="minutes after which to stop")
    parser.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        help="voxel size in mm, or lowest and highest (default: the preset's)",
    )
    parser.add_argument("--extent", type=float, nargs=3, help="grid length along its axes in mm")
    parser.add_argument(
        "--largest-extent", type=float, nargs=3, help="draw each side between --extent and this"
    )
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--diffusion-weight", type=float, help="lambda (default: the preset's)")
    parser.add_argument("--dice-weight", type=float, default=1.0, help="weight of soft Dice, 0 for none")
    parser.add_argument("--clusters", type=int, help="tissue clusters N (default: the preset's)")
    parser.add_argument("--feature-mean", choices=["spatial", "channel", "mixed"], default="spatial")
    parser.add_argument("--deformation", type=float, default=1.0, help="factor on the random deformations")
    parser.add_argument("--t1-share", type=float, default=0.6, help="share of pairs with T1-like contrast")
    parser.add_argument("--validate-every", type=int, default=200, help="steps between validations")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on with the training in the output folder")
    start.add_argument("--from", dest="start_from", type=Path, help="checkpoint to start from")


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    from SACBRegistrationLib.presets import load_preset
    from SACBRegistrationLib.training.settings import TrainingSettings
    from SACBRegistrationLib.training.train import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    preset = load_preset(args.preset)
    maps, held_out = _split(args.label_maps, args.validation)
    spacing = args.spacing or [preset.spacing]
    settings = TrainingSettings(
        label_maps=maps,
        validation_maps=held_out,
        output=args.output,
        preset=preset.name,
        axes=preset.axes,
        extent=tuple(args.extent or (n * preset.spacing for n in preset.size)),
        largest_extent=tuple(args.largest_extent) if args.largest_extent else None,
        spacing=(min(spacing), max(spacing)),
        steps=args.steps,
        minutes=args.minutes,
        learning_rate=args.learning_rate,
        diffusion_weight=preset.training_lambda if args.diffusion_weight is None else args.diffusion_weight,
        dice_weight=args.dice_weight,
        clusters=args.clusters or preset.clusters,
        feature_mean=args.feature_mean,
        seed=args.seed,
        threads=args.threads,
        validate_every=args.validate_every,
        deformation=args.deformation,
        t1_share=args.t1_share,
        resume=args.resume,
        start_from=args.start_from,
    )
    with progress_bar() as callback:
        path = train(settings, Progress(callback=callback))
    print(f"The weights lie in {path}")
    return 0


def _split(folder: Path, validation: list[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Returns the files to train on and those held out."""
    if not folder.is_dir():
        raise UserError(f"The folder of label maps {folder} does not exist; give the folder that holds them.")
    files = sorted(
        p for p in folder.iterdir() if p.name.endswith((".nii", ".nii.gz", ".nrrd", ".mgz", ".mha"))
    )
    held_out = [
        p for p in files if any(p.name.split(".")[0].endswith(name.split(".")[0]) for name in validation)
    ]
    missing = [
        n for n in validation if not any(p.name.split(".")[0].endswith(n.split(".")[0]) for p in files)
    ]
    if missing:
        raise UserError(f"There is no label map {missing[0]!r} in {folder}; name a file of that folder.")
    training = tuple(p for p in files if p not in held_out)
    if not training:
        raise UserError(f"There is no label map to train on in {folder}; give a folder that holds some.")
    return training, tuple(held_out)
