"""The work of a registration process: from the job to the volumes and the report."""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.memory_errors import is_gpu_memory
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration import RegistrationResult, register
from SACBRegistrationLib.registration.saving import without_nan
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.failures import RETRY_NOTE
from SACBRegistrationLib.worker.job import Job
from SACBRegistrationLib.worker.messages import MessageWriter, WorkerResult
from SACBRegistrationLib.worker.quality import measure_quality
from SACBRegistrationLib.worker.volumes import (
    displacement_magnitude,
    jacobian_volume,
    read_image,
    storable,
    value_range,
    write_image,
)

_REGISTERED, _DERIVED, _MEASURED = 0.9, 0.93, 0.98

logger = logging.getLogger(__name__)


def execute(
    job: Job,
    folder: Path,
    writer: MessageWriter,
    register: Callable[..., RegistrationResult] = register,
) -> WorkerResult:
    """Registers the job's pair, measures the result and writes its volumes into the folder.

    When the GPU's memory is too small, everything is done once more on the CPU, with a note.

    Args:
        job: What to do.
        folder: Holds the job's volumes.
        writer: Told how far the work is.
        register: Does the registration itself.

    Raises:
        UserError: When an input or a choice cannot be used.
        ValueError: When a volume of the job is not as described.
    """
    progress = Progress(writer.progress)
    inputs = _inputs(job, folder)
    result, notes = _register(job.settings, inputs, writer, progress, register)
    del inputs
    files, ranges = {}, {}

    def keep(key: str, image: sitk.Image) -> None:
        files[key] = write_image(image, f"result_{key}.raw", folder)
        if image.GetNumberOfComponentsPerPixel() == 1:
            ranges[key] = value_range(image)

    field, grid = result.displacement_field, Grid.from_image(result.fixed)
    report = dict(result.report)
    writing = progress.part(_REGISTERED, _DERIVED, "volumes")
    writing.report(0.0)
    keep("displacement_field", field)
    if "warped" in job.outputs:
        keep("warped", storable(result.warped))
    if "magnitude" in job.outputs:
        keep("magnitude", displacement_magnitude(field, grid))
    writing.report(0.5)
    if "jacobian" in job.outputs:
        keep("jacobian", jacobian_volume(field, grid))
    if "clusters" in job.outputs:
        for (level, role), image in result.cluster_maps.items():
            keep(f"clusters_{level}_{role}", storable(image))
    measuring = progress.part(_DERIVED, _MEASURED, "quality")
    measuring.report(0.0)
    quality, more = measure_quality(job, folder, field, measuring)
    if "inverse" in job.outputs:
        progress.part(_MEASURED, 1.0, "inverse").report(0.0)
        inverse = result.inverse()
        keep("inverse_field", inverse.displacement_field)
        report["inverse"] = {
            "residual_mean_mm": inverse.residual_mean_mm,
            "residual_p99_mm": inverse.residual_p99_mm,
        }
    report["notes"] = [*notes, *report.get("notes", ()), *more]
    return WorkerResult(files, without_nan(report), without_nan(quality), ranges)


def _inputs(job: Job, folder: Path) -> dict:
    images = {
        key: read_image(image, folder)
        for key, image in job.images.items()
        if not key.startswith("structure_")
    }
    displacement = images.pop("initial_displacement", None)
    initial = None
    if displacement is not None:
        initial = as_transform(displacement)
    elif job.initial_affine is not None:
        initial = sitk.AffineTransform(3)
        initial.SetMatrix(job.initial_affine[0])
        initial.SetTranslation(job.initial_affine[1])
    return {**images, "initial_transform": initial}


def _register(
    settings: RegistrationSettings,
    inputs: dict,
    writer: MessageWriter,
    progress: Progress,
    register: Callable[..., RegistrationResult],
) -> tuple[RegistrationResult, list[str]]:
    def show(fraction: float, stage: str) -> None:
        progress.part(0.0, _REGISTERED, stage).report(fraction)

    def attempt(chosen: RegistrationSettings) -> RegistrationResult:
        return register(
            preset=chosen.preset,
            clusters=chosen.clusters,
            weights=chosen.weights,
            device=chosen.device,
            alignment=chosen.alignment,
            refine=chosen.refine,
            seed=chosen.seed,
            field_spacing=chosen.field_spacing,
            similarity=chosen.similarity,
            smoothness=chosen.smoothness,
            refine_spacing=chosen.refine_spacing,
            precision=chosen.precision,
            symmetric_passes=chosen.symmetric_passes,
            memory_limit=chosen.memory_limit,
            progress=show,
            **inputs,
        )

    try:
        return attempt(settings), []
    except Exception as error:
        if settings.device == "cpu" or not is_gpu_memory(error):
            raise
        logger.warning("%s: %s", type(error).__name__, error)
    # Only here has the exception let go of the tensors that filled the GPU.
    gc.collect()
    torch.cuda.empty_cache()
    writer.note(RETRY_NOTE)
    return attempt(replace(settings, device="cpu")), [RETRY_NOTE]
