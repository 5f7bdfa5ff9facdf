"""Registering one pair, or reading its transform, and measuring it: the work of a process of its own."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import SimpleITK as sitk
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.evaluation.dice import common_labels
from SACBRegistrationLib.evaluation.label_quality import LabelQuality, label_quality
from SACBRegistrationLib.evaluation.structural_similarity import structural_similarity
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import inside_volume, jacobian_determinant, summarize_jacobian
from SACBRegistrationLib.imaging.reading import read_labels, read_mask, read_transform, read_volume
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.presets import Preset, load_preset
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration import register
from SACBRegistrationLib.registration.devices import choose_device
from SACBRegistrationLib.registration.pair import prepare_image
from SACBRegistrationLib.study.settings import StudySettings

# Rough shares of the time: registering, then labels, intensities and the picture.
_REGISTERED, _SCORED, _COMPARED = 0.7, 0.88, 0.94


@dataclass(frozen=True)
class Found:
    """What there is to measure.

    Attributes:
        transforms: "before" (the identity, None), "aligned" where the pair was registered, and "after"; fixed
            points to moving points, LPS mm.
        field: The last of them as a vector image u over the fixed volume, LPS mm.
        facts: "seconds", "stages", "peak_memory_bytes", "gpu_memory_bytes", "device", "weights" and "notes";
            None where nothing was registered.
    """

    transforms: Mapping[str, sitk.Transform | None]
    field: sitk.Image
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Measured:
    """A measured pair.

    Attributes:
        record: What is kept of it: "structures" (label to "dice", "hd95" and "assd", each by the name of the
            transform; mm), "unscored" (chosen labels that one of the maps lacks), "unknown" (whether a map
            holds labels that the preset does not name), "ssim", "ssim_anatomy", "jacobian" and the facts.
        fixed: Fixed image, intensities in [0, 1].
        warped: Moving image on the fixed grid, likewise, by the name of the transform.
        fixed_labels: Fixed label map.
        warped_labels: Moving label map on the fixed label map's grid, by the name of the transform.
        field: See Found.
    """

    record: dict
    fixed: sitk.Image
    warped: Mapping[str, sitk.Image]
    fixed_labels: sitk.Image
    warped_labels: Mapping[str, sitk.Image]
    field: sitk.Image


def measure_pair(files: Mapping[str, Path], settings: StudySettings, progress: Progress) -> Measured:
    """Registers a pair unless its transform is given, and measures it before, aligned and after.

    The moving label map is warped with nearest neighbour onto the fixed label map's own grid. Masks matter
    for the registration and the intensities, not for the labels.

    Args:
        files: Paths by the columns of the list of pairs.
        settings: The choices.
        progress: Reported to.

    Raises:
        UserError: When a file or a choice cannot be used.
    """
    preset = load_preset(settings.registration.preset)
    labels = {role: read_labels(files[f"{role}_labels"], role) for role in ("fixed", "moving")}
    scored, unscored, unknown = _labels(labels, settings, preset)
    begun = time.perf_counter()
    images = {role: read_volume(files[role], role) for role in ("fixed", "moving")}
    masks = {
        role: read_mask(files[f"{role}_mask"], role, images[role]) if f"{role}_mask" in files else None
        for role in ("fixed", "moving")
    }
    reading = time.perf_counter() - begun
    if "transform" in files:
        found = _given(files["transform"], images["fixed"])
    else:
        found = _registered(files, images, masks, settings, reading, progress)
    scoring = progress.part(_REGISTERED, _SCORED, "structures")
    scoring.report(0.0)
    grid = Grid.from_image(labels["fixed"])
    nearest = sitk.sitkNearestNeighbor
    warped_labels = {
        name: grid.resample(labels["moving"], transform, nearest)
        for name, transform in found.transforms.items()
    }
    structures = label_quality(labels["fixed"], warped_labels, scored)
    comparing = progress.part(_SCORED, _COMPARED, "intensities")
    comparing.report(0.0)
    fixed, moving = (
        prepare_image(images[role], role, preset.normalization, masks[role], None)
        for role in ("fixed", "moving")
    )
    warped = {
        name: warp_volume(moving.normalized, transform or sitk.Transform(3, sitk.sitkIdentity), fixed.grid)
        for name, transform in found.transforms.items()
    }
    similarity = {}
    if settings.ssim:
        similarity = {
            name: structural_similarity(fixed.normalized, image, fixed.foreground)
            for name, image in warped.items()
        }
    record = {
        "structures": {str(label): _by_measure(values) for label, values in structures.items()},
        "unscored": unscored,
        "unknown": unknown,
        "ssim": {name: value.volume for name, value in similarity.items()},
        "ssim_anatomy": {name: value.anatomy for name, value in similarity.items()},
        "jacobian": _jacobian(found.field, fixed.grid),
        **found.facts,
    }
    return Measured(record, fixed.normalized, warped, labels["fixed"], warped_labels, found.field)


def _labels(
    maps: Mapping[str, sitk.Image], settings: StudySettings, preset: Preset
) -> tuple[list[int], list[int], bool]:
    """Returns the labels to score, chosen ones that cannot be, and whether some have no name.

    Raises:
        UserError: When nothing is left to score.
    """
    common = common_labels(maps["fixed"], maps["moving"])
    unknown = not set(common) <= set(preset.labels)
    if not common:
        raise UserError(
            "The fixed and the moving label map have no label in common; give maps that number the same "
            "structures alike."
        )
    if settings.labels is None:
        return common, [], unknown
    scored = [label for label in settings.labels if label in set(common)]
    if not scored:
        raise UserError(
            "The fixed and the moving label map have none of the chosen labels in common; choose others."
        )
    return scored, [label for label in settings.labels if label not in set(common)], unknown


def _registered(
    files: Mapping[str, Path],
    images: Mapping[str, sitk.Image],
    masks: Mapping[str, sitk.Image | None],
    settings: StudySettings,
    reading: float,
    progress: Progress,
) -> Found:
    initial = read_transform(files["initial_transform"]) if "initial_transform" in files else None
    chosen = settings.registration

    def show(fraction: float, stage: str) -> None:
        progress.part(0.0, _REGISTERED, stage).report(fraction)

    result = register(
        images["fixed"],
        images["moving"],
        **{name: getattr(chosen, name) for name in asdict(chosen)},
        fixed_mask=masks["fixed"],
        moving_mask=masks["moving"],
        initial_transform=initial,
        progress=show,
    )
    report = result.report
    on_gpu = choose_device(chosen.device).type == "cuda"
    stages = {name: seconds for name, seconds in report["seconds"].items() if name != "total"}
    return Found(
        transforms={"before": None, "aligned": result.alignment, "after": result.transform},
        field=result.displacement_field,
        facts={
            "seconds": reading + report["seconds"]["total"],
            "stages": {"reading": reading, **stages},
            "peak_memory_bytes": report["peak_memory_bytes"],
            "gpu_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
            "device": report["device"],
            "weights": report["weights"],
            "notes": list(report["notes"]),
        },
    )


def _given(path: Path, fixed: sitk.Image) -> Found:
    """Returns a finished transform, and its displacement on the fixed grid."""
    transform = read_transform(path)
    grid = Grid.from_image(fixed)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat32, grid.size, grid.origin, grid.spacing, grid.direction
    )
    facts = dict.fromkeys(("seconds", "peak_memory_bytes", "gpu_memory_bytes", "device", "weights"))
    return Found({"before": None, "after": transform}, field, {**facts, "stages": {}, "notes": []})


def _by_measure(values: Mapping[str, LabelQuality]) -> dict[str, dict[str, float]]:
    return {
        measure: {name: getattr(quality, measure) for name, quality in values.items()}
        for measure in ("dice", "hd95", "assd")
    }


def _jacobian(field: sitk.Image, fixed: Grid) -> dict[str, float]:
    return summarize_jacobian(
        jacobian_determinant(field), inside_volume(Grid.from_image(field), fixed)
    ).as_dict()
