"""SACB-Net and its checkpoints."""

from SACBRegistrationLib.network.checkpoint import load_checkpoint, save_checkpoint
from SACBRegistrationLib.network.clustering import EXACT_KMEANS, KMeansSettings
from SACBRegistrationLib.network.sacb_net import SACBNet, SACBNetResult
from SACBRegistrationLib.network.spatial_awareness import ClusterContext

__all__ = [
    "EXACT_KMEANS",
    "ClusterContext",
    "KMeansSettings",
    "SACBNet",
    "SACBNetResult",
    "load_checkpoint",
    "save_checkpoint",
]
