"""Writing a result to a folder, all or nothing."""

import errno
import importlib.util
import json
import logging
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import write_displacement_field
from SACBRegistrationLib.imaging.file_claims import ClaimError, check_claim
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.imaging.nrrd_header import nrrd_claim
from SACBRegistrationLib.peak_memory import peak_memory_bytes
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.stages import Stages
from SACBRegistrationLib.registration.staging import (
    clear_remains,
    flush,
    replace_parts,
    show_new,
    staging_folder,
)

if TYPE_CHECKING:
    from SACBRegistrationLib.registration.result import RegistrationResult

logger = logging.getLogger(__name__)

# Everything a result may consist of: a later run into the same folder must not leave an older run's parts.
_NAMES = (
    "transform.nrrd",
    "warped.nrrd",
    "warped_labels.nrrd",
    "inverse.nrrd",
    "clusters",
    "overview.png",
    # The last to come: a folder holds a result when it holds a report.
    "report.json",
)
# A quarter smaller than at level 1 for hundredths of a second; see docs/benchmarks.md.
_COMPRESSION_LEVEL = 2


def check_output_folder(folder: Path) -> None:
    """Checks that a result can be written, before the work starts; leaves nothing behind.

    What a killed run left in the folder goes, and an older result that it had put aside comes back.

    Raises:
        UserError: When the folder is a file or cannot be made or written, or by SimpleITK alone.
    """
    # os.path, as pathlib raises for what lies in a folder that may not be entered.
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"The output folder {folder} is a file; give another folder.")
    existing = next((path for path in (folder, *folder.absolute().parents) if os.path.exists(path)), folder)
    for place in (folder, folder.absolute().parent):
        clear_remains(place, _NAMES)
    try:
        with staging_folder(existing) as parts:
            itk_path(parts / _NAMES[0])
    except OSError as error:
        raise UserError(f"The output folder {folder} cannot be written; give another folder.") from error


def save_result(result: "RegistrationResult", folder: Path, inverse: bool = False) -> list[Path]:
    """Writes transform, warped image, clusters, report and overview; replaces an older result.

    Everything is written beside its place first and moved there last, so that a failure leaves the folder as
    it was, and so does the next run when the process was killed. The overview picture is left out, with a
    warning in the log, where matplotlib is not installed.

    Args:
        result: What to write.
        folder: Made when it does not exist.
        inverse: Also writes inverse.nrrd, and its residual into the report.

    Returns:
        The files, in the folder.

    Raises:
        UserError: When the folder cannot be written.
    """
    check_output_folder(folder)
    made = _first_missing(folder)
    try:
        if made is None:
            with staging_folder(folder) as parts:
                written = _write(result, parts, inverse)
                replace_parts(parts, folder, _NAMES)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with staging_folder(folder.parent) as parts:
                written = _write(result, parts, inverse)
                show_new(parts, folder)
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if not isinstance(error, (OSError, RuntimeError)):
            raise
        logger.debug("%s", error)
        raise UserError(
            f"The result could not be written to {folder}; check that the disk has room and that no other "
            "program holds its files open."
        ) from error
    return [folder / path for path in written]


def _first_missing(folder: Path) -> Path | None:
    """Returns the outermost folder that would have to be made, or None."""
    missing = [path for path in (folder.absolute(), *folder.absolute().parents) if not os.path.exists(path)]
    return missing[-1] if missing else None


def _write(result: "RegistrationResult", folder: Path, inverse: bool) -> list[Path]:
    """Writes everything to the disk; returns the files, relative to the folder."""
    begun = time.perf_counter()
    stages = Stages(Progress(), {"inverse": 3.0, "picture": 1.0})
    report = dict(result.report)
    if inverse:
        with stages.stage("inverse"):
            found = result.inverse()
        report["inverse"] = {
            "residual_mean_mm": found.residual_mean_mm,
            "residual_p99_mm": found.residual_p99_mm,
        }
        _write_field(found.displacement_field, folder / "inverse.nrrd")
    _write_field(result.displacement_field, folder / "transform.nrrd")
    _write_image(result.warped, folder / "warped.nrrd")
    if result.warped_labels is not None:
        _write_image(result.warped_labels, folder / "warped_labels.nrrd")
    if result.cluster_maps:
        (folder / "clusters").mkdir()
    for (level, role), image in result.cluster_maps.items():
        _write_image(image, folder / "clusters" / f"level{level}_{role}.nrrd")
    with stages.stage("picture"):
        _draw(result, folder / "overview.png")
    spent = time.perf_counter() - begun
    before = report["seconds"]
    report["seconds"] = {
        **before,
        **stages.seconds,
        "writing": spent - sum(stages.seconds.values()),
        "total": before["total"] + spent,
    }
    # The picture and the inverse may need more than the registration did.
    report["peak_memory_bytes"] = peak_memory_bytes()
    text = json.dumps(without_nan(report), indent=2, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    flush(folder)
    return sorted(path.relative_to(folder) for path in folder.rglob("*.*"))


def _draw(result: "RegistrationResult", path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("The overview picture was left out because matplotlib is not installed.")
        return
    from SACBRegistrationLib.pictures.result_overview import draw_result

    draw_result(result, path)


def _write_image(image: sitk.Image, path: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.SetFileName(itk_path(path))
    writer.UseCompressionOn()
    writer.SetCompressionLevel(_COMPRESSION_LEVEL)
    writer.Execute(image)
    _check_written(path)


def _write_field(field: sitk.Image, path: Path) -> None:
    write_displacement_field(field, path)
    _check_written(path)


def _check_written(path: Path) -> None:
    """Raises OSError when a file is shorter than it says: ITK overlooks that the disk was full at its end."""
    try:
        check_claim(replace(nrrd_claim(path), silent=True), f"The file {path.name}")
    except (ClaimError, UserError) as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def without_nan(value: object) -> object:
    """Returns the same structure with null for every number that JSON cannot hold, and text for every key."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value
