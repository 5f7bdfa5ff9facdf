"""What is known about a run, as report.json holds it."""

import math
import platform
from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib import __version__
from SACBRegistrationLib.evaluation.dice import common_labels, dice_per_label, mean_dice
from SACBRegistrationLib.evaluation.displacement_statistics import displacement_statistics
from SACBRegistrationLib.imaging.alignment import AlignmentResult
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import inside_volume, summarize_jacobian
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.peak_memory import peak_memory_bytes
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.agreement import measure_agreement
from SACBRegistrationLib.registration.anatomy_notes import anatomy_notes
from SACBRegistrationLib.registration.checked_settings import cluster_numbers, refinement_steps
from SACBRegistrationLib.registration.devices import device_name
from SACBRegistrationLib.registration.inference import NetworkOutput
from SACBRegistrationLib.registration.pair import PreparedImage
from SACBRegistrationLib.registration.refinement import Refined
from SACBRegistrationLib.registration.run_facts import RunFacts, measure_facts
from SACBRegistrationLib.registration.self_check import limits_for, self_check
from SACBRegistrationLib.registration.worsening import worsening_notes
from SACBRegistrationLib.settings import RegistrationSettings


@dataclass(frozen=True)
class Findings:
    """Everything a run found, for the report.

    Attributes:
        settings: The choices.
        preset: The preset.
        device: Where the network and the refinement ran.
        network: The network, or None.
        initial_transform: Whether the alignment started from a given transform.
        aligned: The alignment.
        output: The network's output, or None.
        refined: The refined deformation, or None.
        notes: Sentences about the refinement.
        field: The displacement field, LPS mm.
        jacobian: Its Jacobian determinant, on its grid.
        warped: The moving image on the fixed grid.
        warped_labels: The moving label map on the fixed grid, or None.
    """

    settings: RegistrationSettings
    preset: Preset
    device: torch.device
    network: SACBNet | None
    initial_transform: bool
    aligned: AlignmentResult
    output: NetworkOutput | None
    refined: Refined | None
    notes: tuple[str, ...]
    field: sitk.Image
    jacobian: sitk.Image
    warped: sitk.Image
    warped_labels: sitk.Image | None


def make_report(fixed: PreparedImage, moving: PreparedImage, found: Findings, progress: Progress) -> dict:
    """Returns the report but for its times: settings, versions, device, similarity, folding, Dice and more.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        found: What the run found.
        progress: Reported to.
    """
    jacobian = found.jacobian
    inside = inside_volume(Grid.from_image(found.field), fixed.grid)
    anatomy = Grid.from_image(found.field).resample(fixed.foreground, interpolator=sitk.sitkNearestNeighbor)
    progress.report(0.4)
    alignment, spacing = found.aligned.transform, found.preset.spacing
    agreement = measure_agreement(fixed, moving, alignment, found.field, spacing)
    progress.report(0.7)
    facts = measure_facts(fixed, moving, agreement, found.aligned, found.field, jacobian, anatomy)
    dice = _dice(fixed, moving, found)
    return {
        "settings": _settings(found),
        "inputs": {"fixed": _input(fixed), "moving": _input(moving)},
        "versions": _versions(),
        "device": device_name(found.device),
        "preset": {
            "name": found.preset.name,
            "title": found.preset.title,
            "modality": found.preset.modality,
        },
        "weights": dict(found.network.info) if found.network is not None else None,
        "self_check": _self_check(facts, found.preset.modality),
        "notes": [
            *anatomy_notes(fixed, moving, found.preset),
            *_notes(found),
            *worsening_notes(agreement.local_ncc, dice),
        ],
        "alignment": {
            "kind": found.aligned.kind,
            "mutual_information": found.aligned.mutual_information,
            "overlap": found.aligned.overlap,
            "mirrored_gain": found.aligned.mirrored_gain,
            "initial_transform": found.initial_transform,
        },
        "network_grid": _grid(found.output.grid) if found.output is not None else None,
        "network_run": _network_run(found.output) if found.output is not None else None,
        "refinement_steps": list(found.refined.steps) if found.refined is not None else [],
        "refinement_similarity": found.refined.similarity if found.refined is not None else None,
        "field_grid": _grid(Grid.from_image(found.field)),
        "local_ncc": dict(agreement.local_ncc),
        "jacobian": {
            **summarize_jacobian(jacobian, inside).as_dict(),
            "anatomy": summarize_jacobian(jacobian, anatomy).as_dict(),
        },
        "displacement_mm": displacement_statistics(found.field, anatomy).as_dict(),
        "dice": dice,
        "inverse": None,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _self_check(facts: RunFacts, modality: str) -> dict:
    check = self_check(facts, limits_for(modality))
    return {"verdict": check.verdict, "reasons": list(check.reasons), "facts": facts.as_dict()}


def _settings(found: Findings) -> dict:
    clusters = {str(k): v for k, v in cluster_numbers(found.settings, found.preset).items()}
    return {
        **asdict(found.settings),
        "clusters": clusters,
        "alignment": found.aligned.kind,
        "refine": refinement_steps(found.settings, found.preset),
    }


def _versions() -> dict:
    return {
        "SACBRegistration": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "SimpleITK": sitk.Version.VersionString(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }


def _notes(found: Findings) -> list[str]:
    notes = []
    if found.output is not None:
        notes.extend(found.output.notes)
        if found.output.message:
            notes.append(found.output.message)
        spacing = found.output.grid.spacing[0]
        if not math.isclose(spacing, found.preset.spacing):
            notes.append(
                f"The network ran at {spacing:g} mm, the resolution its weights were trained for, "
                f"instead of the preset's {found.preset.spacing:g} mm."
            )
    elif found.refined is not None:
        notes.append("No network ran: the deformation comes from refinement alone.")
    else:
        notes.append("No network ran and nothing was refined: the result is the alignment alone.")
    return [*notes, *found.notes]


def _network_run(output: NetworkOutput) -> dict:
    place = output.place
    return {
        "device": device_name(place.device),
        "full_resolution": place.way.value,
        "precision": place.precision.value,
        "symmetric_passes": output.passes,
        "estimated_memory_bytes": place.memory,
    }


def _input(image: PreparedImage) -> dict:
    # No file names: they often hold the names of patients.
    return {
        "grid": _grid(image.grid),
        "number_type": image.image.GetPixelIDTypeAsString(),
        "mask": image.mask is not None,
        "labels": image.labels is not None,
    }


def _grid(grid: Grid) -> dict:
    return {
        "size": list(grid.size),
        "spacing_mm": list(grid.spacing),
        "origin_lps_mm": list(grid.origin),
        "axes": grid.axis_codes,
    }


def _dice(fixed: PreparedImage, moving: PreparedImage, found: Findings) -> dict | None:
    """Returns Dice per label and in the mean: as given, after alignment, after everything."""
    if fixed.labels is None or moving.labels is None:
        return None
    labels = common_labels(fixed.labels, moving.labels)
    on_fixed = fixed.grid.resample(fixed.labels, interpolator=sitk.sitkNearestNeighbor)
    nearest = sitk.sitkNearestNeighbor
    maps = {
        "before": fixed.grid.resample(moving.labels, interpolator=nearest),
        "aligned": warp_volume(moving.labels, found.aligned.transform, fixed.grid, nearest),
        "after": found.warped_labels,
    }
    scores = {name: dice_per_label(on_fixed, image, labels) for name, image in maps.items()}
    # A map with values that the preset does not know follows another table: its names would be wrong.
    names = found.preset.labels if set(labels) <= set(found.preset.labels) else {}
    return {
        **{f"mean_{name}": mean_dice(values) for name, values in scores.items()},
        "per_label": {
            str(label): {"name": names.get(label, ""), **{name: scores[name][label] for name in scores}}
            for label in labels
        },
    }
