"""The choices of one training run."""

from dataclasses import dataclass, field
from pathlib import Path

from SACBRegistrationLib.training.synthesis import SynthesisSettings


@dataclass(frozen=True)
class TrainingSettings:
    """What to train on, how, and for how long.

    Attributes:
        label_maps: FreeSurfer-valued label maps to train on.
        validation_maps: Label maps of other heads to validate on; none switches validation off.
        folder: Where the weights, the resumable state and the metrics are written.
        preset: Name of the preset that the weights are for; recorded with them.
        axes: Axis codes of the training grid.
        synthesis: How pairs are made of the label maps.
        clusters: Number of tissue clusters.
        feature_mean: What the network clusters: "spatial", "channel" or "mixed".
        spacing: Lowest and highest voxel size, mm; every step draws one of `spacing_choices` in between.
        spacing_choices: Number of voxel sizes, evenly spread over `spacing`.
        minutes: Time budget, or None.
        steps: Step budget, or None; with both, whichever ends first.
        learning_rate: Adam's at the first step; decays to 0 over the budget as (1 - part done)^0.9.
        diffusion_weight: Weight of the smoothness of the displacement.
        dice_weight: Weight of the overlap of merged structures.
        validation_steps: Steps between validations.
        validation_pairs: Pairs per validation.
        save_seconds: Time between saved states.
        start: Checkpoint to start from instead of random weights, or None.
        resume: Whether to go on from the state in `folder` when there is one.
        device: "auto", "cpu" or "cuda".
        seed: Seed of everything random.
    """

    label_maps: tuple[Path, ...]
    folder: Path
    validation_maps: tuple[Path, ...] = ()
    preset: str = "ixi"
    axes: str = "LIA"
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    clusters: int = 7
    feature_mean: str = "spatial"
    spacing: tuple[float, float] = (3.0, 3.0)
    spacing_choices: int = 3
    minutes: float | None = None
    steps: int | None = None
    learning_rate: float = 4e-4
    diffusion_weight: float = 1.0
    dice_weight: float = 1.0
    validation_steps: int = 200
    validation_pairs: int = 4
    save_seconds: float = 120.0
    start: Path | None = None
    resume: bool = False
    device: str = "auto"
    seed: int = 0
