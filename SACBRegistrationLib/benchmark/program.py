"""One measurement of the network in a process of its own.

Started as `python -m SACBRegistrationLib.benchmark.program JOB`; the job is a JSON file, and the answer is
written into it under "outcome".
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from SACBRegistrationLib.benchmark.published import PublishedSACBNet
from SACBRegistrationLib.network import ClusterContext, SACBNet, load_checkpoint
from SACBRegistrationLib.peak_memory import peak_memory_bytes
from SACBRegistrationLib.registration.devices import device_name

PUBLISHED = "published computation"
_SEED = 0


def measure(job: dict) -> dict:
    """Returns seconds and memory of the job's forward passes.

    Args:
        job: "what" (PUBLISHED or "network"), "device", "threads" (0 for torch's choice), "repeats",
            "clusters", "weights" (a file; None for random ones), "inputs" (a file) and "exchange": the file
            where the published computation leaves its clusters and displacement for the network to be
            compared with.

    Returns:
        "seconds" (one number per pass), "peak_memory_bytes" and "idle_memory_bytes" of the process (the
        latter before the first pass), "gpu_memory_bytes" or None, "device_name", and of the network
        "difference_voxels": how far its displacement is from the published computation's with the same
        clusters.
    """
    device = torch.device(job["device"])
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    network = _network(job).to(device)
    with np.load(job["inputs"], allow_pickle=False) as arrays:
        moving, fixed = (
            torch.from_numpy(np.ascontiguousarray(arrays[role]))[None, None].to(device)
            for role in ("moving", "fixed")
        )
    published = PublishedSACBNet(network.state_dict(), network.clusters, _SEED)
    exchange = Path(job["exchange"])
    idle = peak_memory_bytes()
    with torch.inference_mode():
        if job["what"] == PUBLISHED:
            displacement, outcome = _timed(lambda: published(moving, fixed), device, job["repeats"])
        else:
            _, outcome = _timed(lambda: network(moving, fixed).displacement, device, job["repeats"])
        # What follows may need memory that the passes did not.
        outcome |= {"peak_memory_bytes": peak_memory_bytes(), "idle_memory_bytes": idle}
        if job["what"] == PUBLISHED:
            outcome["kmeans_steps"] = sum(published.steps.values())
            if device.type == "cpu":
                _leave(published, displacement, exchange)
        elif exchange.is_file():
            outcome["difference_voxels"] = _difference(network, moving, fixed, exchange)
    return {**outcome, "device_name": device_name(device)}


def _network(job: dict) -> SACBNet:
    if job["weights"] is None:
        torch.manual_seed(_SEED)
        network = SACBNet().eval()
    else:
        network = load_checkpoint(job["weights"])
    network.clusters = job["clusters"]
    return network


def _timed(run: Callable[[], torch.Tensor], device: torch.device, repeats: int) -> tuple[torch.Tensor, dict]:
    """Runs a forward pass several times; returns its last result, and seconds and GPU memory."""
    cuda = device.type == "cuda"
    seconds = []
    if cuda:
        # The first pass compiles and chooses kernels.
        run()
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(repeats):
        if cuda:
            torch.cuda.synchronize(device)
        # What an earlier pass returned is none of this one's memory.
        result = None
        begun = time.perf_counter()
        result = run()
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    memory = torch.cuda.max_memory_allocated(device) if cuda else None
    return result, {"seconds": seconds, "gpu_memory_bytes": memory}


def _leave(published: PublishedSACBNet, displacement: torch.Tensor, path: Path) -> None:
    torch.save({"contexts": published.contexts, "displacement": displacement}, path)


def _difference(network: SACBNet, moving: torch.Tensor, fixed: torch.Tensor, path: Path) -> dict[str, float]:
    """Returns mean and largest distance of the two displacements, in voxels, with the same clusters."""
    found = torch.load(path, map_location=moving.device, weights_only=True)
    contexts = {key: ClusterContext(*values) for key, values in found["contexts"].items()}
    distance = (network(moving, fixed, contexts=contexts).displacement - found["displacement"]).norm(dim=1)
    return {"mean": float(distance.mean()), "largest": float(distance.max())}


def main(path: str) -> None:
    """Does the job of a file and writes the answer into it."""
    file = Path(path)
    job = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**job, "outcome": measure(job)}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
