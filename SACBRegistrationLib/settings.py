"""The choices of one registration run."""

from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = (5, 4, 3, 2)
"""Pyramid levels that have a spatial-awareness block, coarse to fine."""


@dataclass(frozen=True)
class RegistrationSettings:
    """What to do with a pair; None takes the preset's own value.

    Attributes:
        preset: Name of a bundled preset, or the path of a preset file.
        clusters: Number of tissue clusters, for all levels or per level {5: n, 4: n, 3: n, 2: n}.
        weights: Path of a checkpoint; "none" runs without the network.
        device: "auto", "cpu" or "cuda".
        alignment: "none", "rigid" or "affine".
        refine: Most steps of refinement per resolution; 0 switches it off.
        seed: Seed of everything random.
        field_spacing: Spacing of the displacement field, mm; None takes that of the grid that the
            deformation was found on, or the fixed image's where that is finer and affordable.
        similarity: What the refinement compares: "ncc" intensities by local correlation, "mind" the local
            self-similarity, which other contrasts have in common; "auto" decides by the aligned pair.
        smoothness: Factor on the smoothness of the refinement: above 1 smoother, below 1 a closer fit.
        refine_spacing: Finest voxel size of the refinement, mm; None takes 1.5 times the preset's spacing.
        precision: How the network's products are rounded on a GPU: "float32", "tf32", "bfloat16" or
            "float16".
        symmetric_passes: Rounds in which the network runs in both directions; 0 runs it once, forward only,
            as published; None takes what its weights record.
        memory_limit: Most memory that the network and the refinement may take, GB (10^9 bytes), on a GPU and
            on the CPU; None takes most of what is free.
    """

    preset: str = "ixi"
    clusters: int | Mapping[int, int] | None = None
    weights: str | None = None
    device: str = "auto"
    alignment: str | None = None
    refine: int | None = None
    seed: int = 0
    field_spacing: float | None = None
    similarity: str = "auto"
    smoothness: float = 1.0
    refine_spacing: float | None = None
    precision: str = "float32"
    symmetric_passes: int | None = None
    memory_limit: float | None = None
