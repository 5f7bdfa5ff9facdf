"""The whole registration of a pair, from two images to one transform."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.alignment import AlignmentResult, align
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import jacobian_determinant
from SACBRegistrationLib.imaging.linear import affine_part
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.network import SACBNet, load_checkpoint
from SACBRegistrationLib.network.precision import check_precision
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.progress import CancelEvent, Progress, ProgressCallback
from SACBRegistrationLib.registration.checked_settings import (
    check_modality,
    check_settings,
    cluster_numbers,
    network_passes,
    refinement_steps,
    weights_file,
)
from SACBRegistrationLib.registration.devices import choose_device
from SACBRegistrationLib.registration.field import make_field
from SACBRegistrationLib.registration.inference import NetworkOutput, run_where_it_fits
from SACBRegistrationLib.registration.pair import (
    PreparedImage,
    check_both_labels,
    check_common_labels,
    check_size,
    prepare_image,
)
from SACBRegistrationLib.registration.placement import memory_budgets, on_device_or_cpu, refinement_voxels
from SACBRegistrationLib.registration.refinement import Refined, RefinementLevel, refine
from SACBRegistrationLib.registration.refining import (
    refinement_levels,
    refinement_settings,
    refinement_spacings,
)
from SACBRegistrationLib.registration.report import Findings, make_report
from SACBRegistrationLib.registration.result import RegistrationResult
from SACBRegistrationLib.registration.stages import Stages
from SACBRegistrationLib.settings import RegistrationSettings

logger = logging.getLogger(__name__)

# A transform that leaves less than this part of a volume has no inverse to speak of.
_FLATTENS = 1e-3
_SHARES = {
    "checking": 1.0,
    "alignment": 5.0,
    "network": 3.0,
    "refinement": 14.0,
    "transform": 2.0,
    "report": 3.0,
}


def register(
    fixed: sitk.Image,
    moving: sitk.Image,
    preset: str | Path = "ixi",
    clusters: int | Mapping[int, int] | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    alignment: str | None = None,
    refine: int | None = None,
    initial_transform: sitk.Transform | None = None,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
    fixed_labels: sitk.Image | None = None,
    moving_labels: sitk.Image | None = None,
    field_spacing: float | None = None,
    similarity: str = "auto",
    smoothness: float = 1.0,
    refine_spacing: float | None = None,
    seed: int = 0,
    precision: str = "float32",
    symmetric_passes: int | None = None,
    memory_limit: float | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelEvent | None = None,
) -> RegistrationResult:
    """Registers the moving image to the fixed one.

    Args:
        fixed: 3D scalar image, any orientation, spacing and number type.
        moving: Likewise, on any grid.
        preset: Name of a bundled preset, or path of a preset file.
        clusters: Number of tissue clusters N (2 to 32), for all levels or {5: n, 4: n, 3: n, 2: n}; None
            takes the preset's.
        weights: Checkpoint; None takes the preset's own, "none" runs without the network.
        device: "auto", "cpu" or "cuda".
        alignment: "none", "rigid" or "affine"; None takes the preset's.
        refine: Most refinement steps per resolution, 0 for none; None means the preset's number
            without a network, and after one where the preset says so.
        initial_transform: Takes fixed points to moving points, LPS mm; the alignment starts from it.
        fixed_mask: Label map; only where it is not 0 counts. Any grid.
        moving_mask: Likewise, for the moving image.
        fixed_labels: Label map for the Dice scores, any grid.
        moving_labels: Likewise, for the moving image; also warped.
        field_spacing: Spacing of the displacement field, mm; None takes the finest that is of use.
        similarity: What the refinement compares: "ncc", "mind" or "auto"; see `RegistrationSettings`.
        smoothness: Factor on the smoothness of the refinement, 0.05 to 20.
        refine_spacing: Finest voxel size of the refinement, mm; None takes 1.5 times the preset's spacing.
        seed: Seed of the clustering.
        precision: How the network's products are rounded on a GPU: "float32", "tf32", "bfloat16" or
            "float16".
        symmetric_passes: Rounds in which the network runs in both directions, 0 to 4; 0 runs it once, forward
            only, as published; None takes what its weights record.
        memory_limit: Most memory that the network and the refinement may take, GB (10^9 bytes), on a GPU and
            on the CPU; None takes most of what is free.
        progress: Called with the fraction done and the stage.
        cancel: Its is_set() is asked often; when true, the run ends with CancelledError.

    Returns:
        The transform, the warped image, the cluster maps and the report.

    Raises:
        UserError: When an input or a choice cannot be used; one sentence says which and what to do.
        CancelledError: When cancelled.
    """
    settings = RegistrationSettings(
        preset=str(preset),
        clusters=clusters,
        weights=None if weights is None else str(weights),
        device=device,
        alignment=alignment,
        refine=refine,
        seed=seed,
        field_spacing=field_spacing,
        similarity=similarity,
        smoothness=smoothness,
        refine_spacing=refine_spacing,
        precision=precision,
        symmetric_passes=symmetric_passes,
        memory_limit=memory_limit,
    )
    chosen = check_settings(settings)
    torch_device = choose_device(device)
    products = check_precision(precision, torch_device)
    check_both_labels(fixed_labels, moving_labels)
    stages = Stages(Progress(progress, cancel), _SHARES)
    with stages.stage("checking"):
        network = _network(settings, chosen)
        pair = (
            prepare_image(fixed, "fixed", chosen.normalization, fixed_mask, fixed_labels),
            prepare_image(moving, "moving", chosen.normalization, moving_mask, moving_labels),
        )
        check_common_labels(*pair)
        for role, image in zip(("fixed", "moving"), pair, strict=True):
            check_size(image, role, chosen)
    with stages.stage("alignment") as part:
        aligned = _align(*pair, settings.alignment or chosen.alignment, initial_transform, part)
    with stages.stage("network") as part:
        output = None
        if network is not None:
            budgets = memory_budgets(torch_device, memory_limit)
            passes = network_passes(settings, network.info)
            output = run_where_it_fits(
                network, *pair, aligned.transform, chosen, products, budgets, passes, part
            )
    with stages.stage("refinement") as part:
        refined, notes = on_device_or_cpu(
            lambda where: _refine(*pair, aligned, output, settings, chosen, where, part),
            torch_device,
            "The refinement",
        )
    with stages.stage("transform") as part:
        field = make_field(pair[0].grid, aligned, output, refined, chosen, field_spacing)
        part.report(0.5)
        warped = warp_volume(moving, field, pair[0].grid, default=_background(moving))
        warped_labels = None
        if pair[1].labels is not None:
            warped_labels = warp_volume(pair[1].labels, field, pair[0].grid, sitk.sitkNearestNeighbor)
    with stages.stage("report") as part:
        findings = Findings(
            settings=settings,
            preset=chosen,
            device=torch_device,
            network=network,
            initial_transform=initial_transform is not None,
            aligned=aligned,
            output=output,
            refined=refined,
            notes=tuple(notes),
            field=field,
            jacobian=jacobian_determinant(field),
            warped=warped,
            warped_labels=warped_labels,
        )
        report = make_report(*pair, findings, part)
    report = {**report, "seconds": {**stages.seconds, "total": stages.total}}
    return RegistrationResult(
        displacement_field=field,
        warped=warped,
        cluster_maps=dict(output.cluster_maps) if output is not None else {},
        report=report,
        alignment=aligned.transform,
        fixed=fixed,
        moving=moving,
        warped_labels=warped_labels,
        jacobian=findings.jacobian,
    )


def _network(settings: RegistrationSettings, preset: Preset) -> SACBNet | None:
    path = weights_file(settings, preset)
    if path is None:
        return None
    network = load_checkpoint(path)
    check_modality(network.info, preset)
    network.clusters = cluster_numbers(settings, preset)
    network.kmeans = replace(network.kmeans, seed=settings.seed)
    return network


def _align(
    fixed: PreparedImage,
    moving: PreparedImage,
    kind: str,
    initial: sitk.Transform | None,
    progress: Progress,
) -> AlignmentResult:
    if initial is not None:
        _check_initial(initial, fixed.grid)
    return align(
        fixed.normalized,
        moving.normalized,
        kind,
        fixed_foreground=fixed.foreground,
        moving_foreground=moving.foreground,
        fixed_mask=fixed.mask,
        moving_mask=moving.mask,
        initial=initial,
        progress=progress,
    )


def _check_initial(transform: sitk.Transform, grid: Grid) -> None:
    if transform.GetDimension() != 3:
        raise UserError("The initial transform is not three-dimensional; give a 3D transform.")
    if transform.IsLinear() and abs(np.linalg.det(affine_part(transform, grid).matrix)) < _FLATTENS:
        raise UserError("The initial transform flattens space; give another one.")


def _refine(
    fixed: PreparedImage,
    moving: PreparedImage,
    aligned: AlignmentResult,
    output: NetworkOutput | None,
    settings: RegistrationSettings,
    preset: Preset,
    device: torch.device,
    progress: Progress,
) -> Refined | None:
    steps = refinement_steps(settings, preset)
    if steps == 0:
        return None
    axes = preset.axes if output is None else output.grid.axis_codes
    spacings = refinement_spacings(settings, preset, after_network=output is not None)

    def levels_for(similarity: str) -> list[RefinementLevel]:
        most = refinement_voxels(device, similarity, settings.memory_limit)
        return refinement_levels(fixed, moving, aligned.transform, spacings, axes, device, most)

    expected = "mind" if settings.similarity == "mind" else "ncc"
    levels = levels_for(expected)
    how = refinement_settings(settings, steps, levels[0])
    most = refinement_voxels(device, how.similarity, settings.memory_limit)
    if how.similarity != expected and levels[-1].fixed.numel() > most:
        # The images have told that they need what takes more memory.
        levels = levels_for(how.similarity)
    initial = None if output is None else (output.displacement, output.grid)
    return refine(levels, initial, how, progress.part(0.1, 1.0, progress.stage))


def _background(moving: sitk.Image) -> float:
    """Returns the value for points outside the moving image: its darkest, such as -1024 HU."""
    return float(sitk.GetArrayViewFromImage(moving).min())
