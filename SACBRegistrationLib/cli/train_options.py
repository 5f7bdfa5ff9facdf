"""Options of the commands that train, and what they mean."""

import argparse
from dataclasses import replace
from pathlib import Path

from SACBRegistrationLib.errors import UserError

_LABEL_MAP_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mgz", ".mha")
_PUBLISHED_EPOCHS = 300
_SYNTHESIS_STEPS_BETWEEN_VALIDATIONS = 200
_VALIDATION_SEED = 1_000_003
_VALIDATION_PAIRS = 4
# The other half is for the training itself.
_MEMORY_FOR_SCANS = 0.5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what to train on, how long, how, and where."""
    parser.add_argument("--preset", default="ixi", help="preset the weights are for (default: ixi)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of weights.pt and the metrics"
    )
    _add_scans(parser.add_argument_group("recorded scans"))
    _add_synthesis(parser.add_argument_group("images synthesised from label maps"))
    _add_training(parser.add_argument_group("training"))
    _add_devices(parser.add_argument_group("where it computes"))


def _add_scans(group) -> None:
    group.add_argument(
        "--split", type=Path, metavar="FILE", help="CSV or JSON file of the scans (docs/training.md)"
    )
    group.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="what file names are relative to; without --split: pickles in Train, Val, Test, and atlas.pkl",
    )  # fmt: skip
    group.add_argument(
        "--align", choices=["none", "rigid", "affine"], default="none",
        help="align every scan to the first before training (default: none, they lie alike in space)",
    )  # fmt: skip
    group.add_argument(
        "--structures", type=int, nargs="+", metavar="VALUE",
        help="label values that Dice is of (default: the preset's, or all where scans lack some of them)",
    )  # fmt: skip
    group.add_argument("--no-validation", action="store_true", help="keep the last checkpoint, not the best")


def _add_synthesis(group) -> None:
    group.add_argument(
        "--label-maps", type=Path, metavar="FOLDER",
        help="folder of FreeSurfer-valued label maps; for abdomen-ct, of scans NAME_ct and maps NAME_seg "
        "with TotalSegmentator's values",
    )  # fmt: skip
    group.add_argument(
        "--validation", nargs="*", default=[], metavar="NAME",
        help="file names (or their endings before the suffix, such as _13) held out for validation",
    )  # fmt: skip
    group.add_argument(
        "--largest-extent", type=float, nargs=3, help="draw each side between --extent and this"
    )
    group.add_argument("--deformation", type=float, default=1.0, help="factor on the random deformations")
    group.add_argument("--t1-share", type=float, default=0.6, help="share of pairs with T1-like contrast")


def _add_training(group) -> None:
    group.add_argument(
        "--epochs", type=int, help="passes over all pairs of scans (default: 300 without --steps, --minutes)"
    )
    group.add_argument("--steps", type=int, help="steps after which to stop")
    group.add_argument("--minutes", type=float, help="minutes after which to stop")
    group.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        help="voxel size in mm (default: the preset's); with label maps also lowest and highest",
    )
    group.add_argument("--extent", type=float, nargs=3, help="grid length along its axes in mm")
    group.add_argument("--learning-rate", type=float, default=1e-4)
    group.add_argument("--diffusion-weight", type=float, help="lambda (default: the preset's)")
    group.add_argument(
        "--dice-weight", type=float, help="weight of soft Dice (default: 0 with scans, 1 with label maps)"
    )
    group.add_argument(
        "--validate-every", type=int, help="steps between validations (default: an epoch, or 200)"
    )
    group.add_argument(
        "--symmetric-passes", type=int, default=0, choices=range(5), metavar="N",
        help="recorded in the weights: rounds in both directions when they register a pair (default: 0)",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0)


def _add_devices(group) -> None:
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    group.add_argument(
        "--devices", default="1", metavar="N", help="GPUs of this computer, or all (default: 1)"
    )
    group.add_argument("--nodes", type=int, default=1, help="computers that train together (default: 1)")
    group.add_argument(
        "--precision", choices=["float32", "tf32", "bfloat16", "float16"], default="float32",
        help="arithmetic on a GPU; the last two are mixed precision (default: float32)",
    )  # fmt: skip
    group.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    group.add_argument("--workers", type=int, default=2, help="threads that prepare pairs (default: 2)")


def training_from(args: argparse.Namespace, scored: bool = False):
    """Returns (TrainingSettings, TrainingData) as the options say.

    Args:
        args: Parsed options.
        scored: Whether the test scans are needed.

    Raises:
        UserError: When they contradict each other, or a file cannot be used.
    """
    from SACBRegistrationLib.presets import load_preset
    from SACBRegistrationLib.training.settings import Devices, TrainingSettings

    from_scans = args.split is not None or args.data is not None
    if from_scans == (args.label_maps is not None):
        raise UserError(
            "Training needs either scans (--split or --data) or label maps (--label-maps); give one of them."
        )
    preset = load_preset(args.preset)
    endless = args.epochs is None and args.steps is None and args.minutes is None
    settings = TrainingSettings(
        output=args.output,
        preset=preset.name,
        epochs=_PUBLISHED_EPOCHS if endless and from_scans else args.epochs,
        steps=args.steps,
        minutes=args.minutes,
        learning_rate=args.learning_rate,
        diffusion_weight=preset.training_lambda if args.diffusion_weight is None else args.diffusion_weight,
        dice_weight=(0.0 if from_scans else 1.0) if args.dice_weight is None else args.dice_weight,
        clusters=preset.clusters,
        symmetric_passes=args.symmetric_passes,
        seed=args.seed,
        threads=args.threads,
        workers=args.workers,
        validate_every=args.validate_every,
        devices=Devices(args.device, _device_count(args.devices), args.nodes, args.precision),
    )
    if from_scans:
        return settings, _scans(args, preset, settings, scored)
    if args.validate_every is None:
        settings = replace(settings, validate_every=_SYNTHESIS_STEPS_BETWEEN_VALIDATIONS)
    return settings, _synthesis(args, preset)


def _device_count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UserError(f'The number of devices "{text}" is none; give a whole number above 0, or all.')
    return int(text)


def _scans(args, preset, settings, scored):
    from SACBRegistrationLib.registration.devices import available_memory_bytes
    from SACBRegistrationLib.training.recorded import RecordedSettings, recorded_data
    from SACBRegistrationLib.training.split import read_split

    if args.spacing is not None and len(args.spacing) != 1:
        raise UserError("Scans are trained on at one voxel size; give one number to --spacing.")
    split = read_split(args.split, args.data)
    processes = settings.devices.count or 1
    recorded = RecordedSettings(
        spacing=args.spacing[0] if args.spacing else None,
        extent=tuple(args.extent) if args.extent else None,
        alignment=args.align,
        structures=tuple(sorted(set(args.structures))) if args.structures else None,
        validated=not args.no_validation,
        labels_needed=settings.dice_weight > 0,
        seed=settings.seed,
        most_bytes=int(available_memory_bytes() * _MEMORY_FOR_SCANS / processes),
    )
    return recorded_data(split if scored else replace(split, test=()), preset, recorded)


def _synthesis(args, preset):
    from SACBRegistrationLib.training.pairs import SynthesisedPairs, TrainingData, TrainingGrid
    from SACBRegistrationLib.training.synthesis import SynthesisSettings
    from SACBRegistrationLib.training.synthesizers import synthesizer_for, validation_maps_for

    maps, held_out = _label_maps(args.label_maps, args.validation)
    spacing = args.spacing or [preset.spacing]
    extent = tuple(args.extent or (n * preset.spacing for n in preset.size))
    largest = tuple(args.largest_extent) if args.largest_extent else None
    grid = TrainingGrid(preset.axes, (min(spacing), max(spacing)), extent, largest)
    if not grid.spacing[0] > 0:
        raise UserError(f"A spacing of {grid.spacing[0]} mm is none; give a number above 0.")
    synthesis = SynthesisSettings(
        extent=extent, largest_extent=largest, deformation=args.deformation, t1_share=args.t1_share
    )
    training = synthesizer_for(preset.name, maps, preset.axes, synthesis)
    validation = ()
    if judged := validation_maps_for(preset.name, maps, held_out):
        judge = synthesizer_for(preset.name, judged, preset.axes, synthesis)
        validation = judge.validation_pairs(_VALIDATION_PAIRS, _VALIDATION_SEED, grid.spacing[0])
    return TrainingData(
        SynthesisedPairs(training, args.seed, grid.spacing),
        validation,
        (),
        grid,
        f"images synthesised from label maps: {len(training.maps)}",
        "Apache-2.0",
    )


def _label_maps(folder: Path, validation: list[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Returns the files to train on and those held out."""
    if not folder.is_dir():
        raise UserError(f"The folder of label maps {folder} does not exist; give the folder that holds them.")
    files = sorted(p for p in folder.iterdir() if p.name.endswith(_LABEL_MAP_SUFFIXES))
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
