"""The choices of one training run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained on pairs synthesised from label maps.

    Attributes:
        label_maps: Files of the training label maps (FreeSurfer values).
        validation_maps: Files of the label maps held out for validation; may be empty.
        output: Folder of the checkpoint, the state and the metrics.
        preset: Name of the preset the weights are for.
        axes: Axis codes of the training arrays, the preset's.
        extent: Length of the training grid along D, H, W, mm.
        largest_extent: Largest length; each step draws sides between the two. None keeps `extent`.
        spacing: Lowest and highest voxel size, mm; each step draws one between them.
        steps: Steps after which training ends, or None.
        minutes: Minutes of training after which it ends, resumed ones counted, or None.
        learning_rate: Adam's rate at the start; it decays with power 0.9 to the end of steps or minutes.
        diffusion_weight: Weight lambda of the diffusion regulariser, displacements in voxels.
        dice_weight: Weight of 1 - soft Dice of the merged structures; 0 leaves labels out.
        clusters: Number of clusters N.
        feature_mean: What the blocks cluster.
        seed: Seed of weights and pairs.
        threads: CPU threads; 0 leaves torch's choice.
        validate_every: Steps between validations.
        validation_pairs: Pairs per validation.
        deformation: Factor on the random deformations of the synthesis.
        t1_share: Share of pairs with T1-like contrast.
        resume: Goes on from the state in `output`.
        start_from: Checkpoint to start from, or None.
    """

    label_maps: tuple[Path, ...]
    validation_maps: tuple[Path, ...]
    output: Path
    preset: str = "ixi"
    axes: str = "LIA"
    extent: tuple[float, float, float] = (160.0, 192.0, 224.0)
    largest_extent: tuple[float, float, float] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 1e-4
    diffusion_weight: float = 1.0
    dice_weight: float = 1.0
    clusters: int = 7
    feature_mean: str = "spatial"
    seed: int = 0
    threads: int = 0
    validate_every: int = 200
    validation_pairs: int = 4
    deformation: float = 1.0
    t1_share: float = 0.6
    resume: bool = False
    start_from: Path | None = None
