"""convexAdam with MIND features and its defaults, after our affine alignment: it has none of its own."""

import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from SACBRegistrationLib.comparison.program import TRANSFORM


def run(job: dict) -> tuple[dict, Callable[[], None]]:
    """Registers one pair; see `SACBRegistrationLib.comparison.program.run_job`."""
    started = time.perf_counter()
    import SimpleITK as sitk
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    from SACBRegistrationLib.imaging.alignment import align
    from SACBRegistrationLib.imaging.grid import Grid
    from SACBRegistrationLib.imaging.normalization import Normalization
    from SACBRegistrationLib.registration.pair import prepare_image

    imported = time.perf_counter()
    fixed, moving = (sitk.ReadImage(job[role], sitk.sitkFloat32) for role in ("fixed", "moving"))
    device = torch.device("cuda" if job["device"] != "cpu" and torch.cuda.is_available() else "cpu")
    begun = time.perf_counter()
    sides = [
        prepare_image(image, role, Normalization(**job["normalization"]), None, None)
        for role, image in (("fixed", fixed), ("moving", moving))
    ]
    alignment = align(
        *(side.normalized for side in sides),
        "affine",
        fixed_foreground=sides[0].foreground,
        moving_foreground=sides[1].foreground,
    ).transform
    aligned = time.perf_counter()
    grid = Grid.from_image(fixed)
    background = float(sitk.GetArrayViewFromImage(moving).min())
    near = grid.resample(moving, alignment, sitk.sitkLinear, background)
    voxels = convex_adam_pt(
        *(torch.from_numpy(sitk.GetArrayFromImage(image)) for image in (fixed, near)), device=device
    )
    seconds = time.perf_counter() - begun
    folder = Path(job["folder"])

    def finish() -> None:
        deformation = sitk.DisplacementFieldTransform(_in_mm(voxels, grid))
        # SimpleITK applies the last transform of a composite first.
        both = sitk.CompositeTransform([alignment, deformation])
        wanted = Grid.from_image(sitk.ReadImage(job["reference"]))
        field = sitk.TransformToDisplacementField(
            both, sitk.sitkVectorFloat32, wanted.size, wanted.origin, wanted.spacing, wanted.direction
        )
        sitk.WriteImage(field, str(folder / TRANSFORM))

    version = importlib.metadata.version("convexadam")
    stages = {"alignment": aligned - begun, "deformation": seconds - (aligned - begun)}
    outcome = {"seconds": seconds, "import_seconds": imported - started, "version": version, "stages": stages}
    return outcome, finish


def _in_mm(voxels: np.ndarray, grid):
    """Returns displacements [z, y, x, 3] in voxels, components z, y, x, as a field in LPS mm."""
    import SimpleITK as sitk

    field = sitk.GetImageFromArray(np.ascontiguousarray(voxels[..., ::-1] @ grid.matrix.T), isVector=True)
    field.SetOrigin(grid.origin)
    field.SetSpacing(grid.spacing)
    field.SetDirection(grid.direction)
    return field
