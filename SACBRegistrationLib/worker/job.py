"""What a registration process is asked to do."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.arrays import ArrayFile
from SACBRegistrationLib.worker.json_checks import (
    as_list,
    as_numbers,
    as_object,
    as_text,
    as_whole_number,
    only_keys,
    parse_object,
)

JOB_FILE = "job.json"
OUTPUTS = frozenset(("warped", "magnitude", "jacobian", "clusters", "inverse"))
ROLES = ("fixed", "moving")
_IMAGE = re.compile(r"fixed|moving|fixed_mask|moving_mask|initial_displacement|structure_\d{1,6}")

Point = tuple[float, float, float]
Affine = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Structure:
    """A structure inside a label image.

    Attributes:
        name: What people call it; the same name in both roles means the same structure.
        image: Key of its image in the job.
        value: Voxels of this value belong to it.
    """

    name: str
    image: str
    value: int


@dataclass(frozen=True)
class Job:
    """One registration; all geometry is LPS mm.

    Attributes:
        settings: The choices.
        images: "fixed" and "moving"; where wanted "fixed_mask", "moving_mask", "initial_displacement"
            ([z, y, x, 3], takes fixed points to moving points) and "structure_<n>" label images.
        initial_affine: (matrix, 9 numbers row by row; translation, 3 numbers) that takes fixed points to
            moving points; None, as with an initial displacement, for no such start.
        structures: "fixed" and "moving" to the structures of that image.
        points: "fixed" and "moving" to named points of that image.
        outputs: What to make besides the displacement field, of OUTPUTS.
    """

    settings: RegistrationSettings
    images: Mapping[str, ArrayFile]
    initial_affine: Affine | None = None
    structures: Mapping[str, tuple[Structure, ...]] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, Point]] = field(default_factory=dict)
    outputs: frozenset[str] = OUTPUTS - {"inverse"}

    def __post_init__(self) -> None:
        """Raises ValueError when the parts do not fit together."""
        for key, image in self.images.items():
            if not _IMAGE.fullmatch(key):
                raise ValueError(f"{key!r} is no image of a job")
            if image.grid is None or (len(image.shape) == 4) != (key == "initial_displacement"):
                raise ValueError(f"the image {key} has no grid or another number of components")
        if not set(ROLES) <= set(self.images):
            raise ValueError("a job needs a fixed and a moving image")
        if self.initial_affine is not None and "initial_displacement" in self.images:
            raise ValueError("a job starts from a matrix or from a displacement field, not from both")
        if not self.outputs <= OUTPUTS:
            raise ValueError(f"unknown outputs {sorted(self.outputs - OUTPUTS)}")
        if not (set(self.structures) | set(self.points)) <= set(ROLES):
            raise ValueError("structures and points belong to the fixed or to the moving image")
        for structure in (item for items in self.structures.values() for item in items):
            if structure.image not in self.images:
                raise ValueError(f"the structure {structure.name!r} has no image")

    def to_json(self) -> dict:
        """Returns the job as a JSON object."""
        settings = {item.name: getattr(self.settings, item.name) for item in fields(self.settings)}
        if isinstance(self.settings.clusters, Mapping):
            settings["clusters"] = {str(level): n for level, n in self.settings.clusters.items()}
        affine = self.initial_affine
        return {
            "settings": settings,
            "images": {key: image.to_json() for key, image in self.images.items()},
            "initial_affine": None if affine is None else [[float(v) for v in part] for part in affine],
            "structures": {
                role: [{"name": s.name, "image": s.image, "value": int(s.value)} for s in items]
                for role, items in self.structures.items()
            },
            "points": {
                role: {name: [float(v) for v in point] for name, point in items.items()}
                for role, items in self.points.items()
            },
            "outputs": sorted(self.outputs),
        }

    @classmethod
    def from_json(cls, document: object) -> "Job":
        """Returns the job in a JSON object.

        Raises:
            ValueError: When anything is missing, unknown or impossible.
        """
        document = as_object(document, "the job")
        only_keys(document, {item.name for item in fields(cls)}, "the job")
        affine = document.get("initial_affine")
        if affine is not None:
            matrix, translation = as_list(affine, "the initial matrix", 2)
            affine = (as_numbers(matrix, "the matrix", 9), as_numbers(translation, "the translation", 3))
        return cls(
            settings=_settings(document.get("settings")),
            images={
                key: ArrayFile.from_json(image)
                for key, image in as_object(document.get("images"), "images").items()
            },
            initial_affine=affine,
            structures={
                role: tuple(_structure(item) for item in as_list(items, "structures"))
                for role, items in as_object(document.get("structures"), "structures").items()
            },
            points={
                role: {name: as_numbers(p, "a point", 3) for name, p in as_object(items, "points").items()}
                for role, items in as_object(document.get("points"), "points").items()
            },
            outputs=frozenset(
                as_text(name, "an output") for name in as_list(document.get("outputs"), "outputs")
            ),
        )


def write_job(job: Job, folder: Path) -> None:
    """Writes the job into a run's folder, last of all and in one stroke: its presence starts the work."""
    part = folder / f"{JOB_FILE}.part"
    part.write_text(json.dumps(job.to_json(), allow_nan=False), encoding="utf-8")
    os.replace(part, folder / JOB_FILE)


def read_job(folder: Path) -> Job:
    """Returns the job of a run's folder.

    Raises:
        ValueError: When it is no job, or one of its files is not as the job says.
    """
    job = Job.from_json(parse_object((folder / JOB_FILE).read_bytes()))
    for image in job.images.values():
        image.path_in(folder)
    return job


def _settings(document: object) -> RegistrationSettings:
    document = as_object(document, "the settings")
    only_keys(document, {item.name for item in fields(RegistrationSettings)}, "the settings")
    clusters = document.get("clusters")
    if isinstance(clusters, dict):
        clusters = {int(level): as_whole_number(n, "clusters") for level, n in clusters.items()}
    return RegistrationSettings(**{**document, "clusters": clusters})


def _structure(document: object) -> Structure:
    document = as_object(document, "a structure")
    only_keys(document, {"name", "image", "value"}, "a structure")
    return Structure(
        as_text(document.get("name"), "a structure's name"),
        as_text(document.get("image"), "a structure's image"),
        as_whole_number(document.get("value"), "a structure's value"),
    )
