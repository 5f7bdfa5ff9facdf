"""The choices of one training run."""

from dataclasses import dataclass, field
from pathlib import Path

from SACBRegistrationLib.network.sacb_net import LEVELS


@dataclass(frozen=True)
class Devices:
    """Where a training computes.

    Attributes:
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        count: GPUs, or processes on CPUs, of a computer; None takes all GPUs.
        nodes: Computers.
        precision: "float32", "tf32", "bfloat16" or "float16"; the last two are mixed precision.
    """

    device: str = "auto"
    count: int | None = 1
    nodes: int = 1
    precision: str = "float32"


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        output: Folder of the checkpoints, the state and the metrics.
        preset: Name of the preset the weights are for.
        epochs: Passes over all pairs after which training ends, or None.
        steps: Steps after which it ends, or None.
        minutes: Minutes of training after which it ends, resumed ones counted, or None.
        learning_rate: Adam's rate at the start; it decays with power 0.9 to the end of the above.
        diffusion_weight: Weight lambda of the diffusion regulariser, displacements in voxels.
        dice_weight: Weight of 1 - soft Dice of the structures; 0 leaves labels out.
        clusters: Number of clusters N.
        feature_mean: What the blocks cluster: "spatial", "channel" or "mixed".
        sacb_levels: Levels with a spatial-awareness block, among 5, 4, 3, 2.
        symmetric_passes: How often the program is to run the weights in both directions, see
            `network/symmetric.py`; only recorded. Training and validation run them once, forward.
        seed: Seed of weights, clustering and pairs.
        threads: CPU threads; 0 leaves torch's choice.
        workers: Threads that prepare pairs ahead.
        validate_every: Steps between validations; None validates after every epoch.
        resume: Goes on from the state in `output`.
        start_from: Checkpoint to start from, or None.
        devices: Where it computes.
    """

    output: Path
    preset: str = "ixi"
    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 1e-4
    diffusion_weight: float = 1.0
    dice_weight: float = 0.0
    clusters: int = 7
    feature_mean: str = "spatial"
    sacb_levels: tuple[int, ...] = LEVELS
    symmetric_passes: int = 0
    seed: int = 0
    threads: int = 0
    workers: int = 2
    validate_every: int | None = None
    resume: bool = False
    start_from: Path | None = None
    devices: Devices = field(default_factory=Devices)
