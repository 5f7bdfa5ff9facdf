"""Starts Lightning Fabric, which runs a training on one device, several GPUs, or several computers."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network.precision import Precision, check_precision
from SACBRegistrationLib.registration.devices import choose_device
from SACBRegistrationLib.training.settings import Devices

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PACKAGES = "lightning-fabric tensorboard"

_MIXED = {Precision.BFLOAT16: "bf16-mixed", Precision.FLOAT16: "16-mixed"}


def start_devices(devices: Devices) -> Fabric:
    """Returns Lightning Fabric, launched: from here on there is one process per device.

    With several devices this starts the other processes, which run the same command, unless torchrun, SLURM
    or the like has started them already.

    Args:
        devices: Where to compute.

    Raises:
        UserError: When Lightning Fabric or TensorBoard is not installed, there are not so many GPUs, or they
            do not support the precision.
    """
    fabric_class = _fabric_class()
    device = choose_device(devices.device)
    precision = check_precision(devices.precision, device)
    count = _count(devices, device)
    if devices.nodes < 1 or count < 1:
        raise UserError("Training needs one device on one computer at least; correct --devices or --nodes.")
    fabric = fabric_class(
        accelerator="cuda" if device.type == "cuda" else "cpu",
        devices=count,
        num_nodes=devices.nodes,
        strategy="ddp" if count * devices.nodes > 1 else "auto",
        precision=_MIXED.get(precision, "32-true"),
    )
    fabric.launch()
    return fabric


def stop_other_processes(fabric: Fabric) -> None:
    """Ends the processes that this one has started; those of torchrun or SLURM are ended by these."""
    for process in getattr(fabric.strategy.launcher, "procs", []):
        process.kill()


def _fabric_class() -> type[Fabric]:
    missing = UserError(
        f"Training needs packages that are not installed; get them with: pip install {PACKAGES}."
    )
    if importlib.util.find_spec("tensorboard") is None:
        raise missing
    try:
        # The same code is published under two names.
        if importlib.util.find_spec("lightning_fabric") is not None:
            from lightning_fabric import Fabric
        else:
            from lightning.fabric import Fabric
    except ImportError as error:
        raise missing from error
    return Fabric


def _count(devices: Devices, device: torch.device) -> int:
    if device.type != "cuda":
        return 1 if devices.count is None else devices.count
    present = torch.cuda.device_count()
    if devices.count is not None and devices.count > present:
        raise UserError(f"{devices.count} GPUs are asked for and this computer has {present}; ask for fewer.")
    return present if devices.count is None else devices.count
