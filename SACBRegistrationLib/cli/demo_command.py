"""`sacb-registration demo`: registers the bundled phantom pair, whose truth is known, or the user's pair."""

import argparse
from pathlib import Path

from SACBRegistrationLib.cli import register_command
from SACBRegistrationLib.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("fixed", type=Path, nargs="?", help="your fixed image (default: the bundled phantom)")
    parser.add_argument("moving", type=Path, nargs="?", help="your moving image")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/demo"))
    register_command.add_choices(parser)
    parser.set_defaults(refine=register_command.PRESET_STEPS)


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns the exit code."""
    if (args.fixed is None) != (args.moving is None):
        raise UserError(
            "One image is missing; give a fixed and a moving image, or none for the bundled pair."
        )
    truth = None
    if args.fixed is None:
        truth, paths = _phantom(args.output)
        args = argparse.Namespace(**{**vars(args), **paths})
    result = register_command.register_files(args)
    print(register_command.summary(result.report))
    if truth is not None:
        before, aligned, after = (
            truth.errors(transform) for transform in (_identity(), result.alignment, result.transform)
        )
        print(
            f"True error {before.mean():.2f} mm before, {aligned.mean():.2f} mm aligned, "
            f"{after.mean():.2f} mm registered (mean of {len(after)} landmarks; worst {after.max():.2f} mm)"
        )
    print(f"Results    {args.output.resolve()}")
    print(f"Picture    {(args.output / 'overview.png').resolve()}")
    return 0


def _phantom(output: Path):
    """Writes the phantom pair beside the output; returns it and its paths."""
    import SimpleITK as sitk

    from SACBRegistrationLib.imaging.itk_path import itk_path
    from SACBRegistrationLib.imaging.phantom import make_phantom_pair
    from SACBRegistrationLib.registration.saving import check_output_folder

    check_output_folder(output)
    pair = make_phantom_pair()
    folder = output.parent / "phantom"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        paths[name] = folder / f"{name}.nrrd"
        sitk.WriteImage(getattr(pair, name), itk_path(paths[name]), useCompression=True)
    return pair, paths


def _identity():
    import SimpleITK as sitk

    return sitk.Transform(3, sitk.sitkIdentity)
