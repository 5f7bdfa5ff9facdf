"""The whole comparison: every method on every pair, one after the other, each in a process of its own."""

import datetime
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from SACBRegistrationLib import __version__
from SACBRegistrationLib.benchmark.circumstances import circumstances
from SACBRegistrationLib.comparison.methods import METHODS, Method
from SACBRegistrationLib.comparison.ours import checkpoint_digest, register_options
from SACBRegistrationLib.comparison.pairs import Pair
from SACBRegistrationLib.comparison.preparing import PeerInputs, write_peer_images
from SACBRegistrationLib.comparison.process import installed_peers, run_in_process
from SACBRegistrationLib.comparison.scoring import score
from SACBRegistrationLib.comparison.store import Store
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.itk_path import itk_folder
from SACBRegistrationLib.presets import Preset

_PEERS = "SACBRegistrationLib.comparison.peers"


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared, and how.

    Attributes:
        preset: Of this project's methods.
        preset_file: Its name, or the file that it was read from.
        methods: Methods to run.
        python: Interpreter that has the other programs.
        threads: CPU threads of every method.
        device: "cpu", "cuda" or "auto", of whatever runs on torch.
        weights: Checkpoint of this project's network; None takes the preset's.
        refine: Most refinement steps per resolution; None takes the preset's.
        peers: How images are prepared for the other programs.
        own_labels: Whether labels are also warped as the other program itself does it.
        distances: Whether HD95 is measured.
        again: Names of methods to measure again though the folder holds them.
    """

    preset: Preset
    preset_file: str
    methods: tuple[Method, ...] = tuple(METHODS.values())
    python: str = sys.executable
    threads: int = 1
    device: str = "cpu"
    weights: str | None = None
    refine: int | None = None
    peers: PeerInputs = field(default_factory=PeerInputs)
    own_labels: bool = False
    distances: bool = False
    again: tuple[str, ...] = ()

    def common(self) -> dict:
        """Returns what all measurements of a folder must have in common, by the options' names."""
        return {
            "preset": self.preset.name,
            "threads": self.threads,
            "device": self.device,
            "spacing": self.peers.spacing,
            "clip": None if self.peers.clip is None else list(self.peers.clip),
        }


Report = Callable[[int, int, Pair, Method, dict], None]


def run_comparison(
    pairs: list[Pair], settings: ComparisonSettings, folder: Path, resume: bool, report: Report
) -> dict:
    """Runs every method on every pair and keeps what each measured.

    Args:
        pairs: The pairs.
        settings: What to run.
        folder: Where measurements are kept, one file each, as soon as they are made.
        resume: Whether measurements that the folder holds already may be used.
        report: Told number, total, pair, method and measurement after each.

    Returns:
        "circumstances", "settings", "absent" (sentence by method) and "pairs": by pair's and method's name
        "seconds", "process_seconds", "peak_memory_bytes", what `score` returns, "date", "load_before"; or
        "failure".

    Raises:
        UserError: When the folder or the interpreter cannot be used, or no method can be run.
    """
    found = _installed(settings)
    absent = {
        method.name: f"{method.name} was left out because {settings.python} has no {method.distribution}; "
        f'install it there with pip install "{method.requirement}", or name an interpreter with --python.'
        for method in settings.methods
        if method.peer and method.name not in found
    }
    present = [method for method in settings.methods if method.name not in absent]
    if not present:
        raise UserError(next(iter(absent.values()), "No method was chosen; name some with --methods."))
    store = Store(folder, settings.common(), resume)
    rows: dict[str, dict] = {}
    total, number = len(pairs) * len(present), 0
    for pair in pairs:
        rows[pair.name] = {}
        with tempfile.TemporaryDirectory(prefix="sacb-compare-") as temporary:
            for method in present:
                number += 1
                inputs = _inputs(pair, method, settings, found)
                measured = _kept(store.get(pair.slug, method.name, inputs), method, settings)
                if measured is None:
                    measured = {"inputs": inputs, **_measured(pair, method, settings, itk_folder(temporary))}
                    store.put(pair.slug, method.name, measured)
                rows[pair.name][method.name] = measured
                report(number, total, pair, method, measured)
    return {
        "circumstances": circumstances(settings.threads),
        "settings": {
            **settings.common(),
            "methods": {method.name: method.title for method in settings.methods},
            "weights": _weights(settings),
            "refine": _steps(settings),
            "peers": found,
        },
        "absent": absent,
        "pairs": rows,
    }


def _kept(measured: dict | None, method: Method, settings: ComparisonSettings) -> dict | None:
    """Returns a measurement of before if it holds all that is asked for now, else None."""
    if measured is None or method.name in settings.again:
        return None
    wanted = {"hd95": settings.distances, "own_dice": settings.own_labels and method.own_labels}
    return None if any(measured.get(name) is None for name, ask in wanted.items() if ask) else measured


def _installed(settings: ComparisonSettings) -> dict[str, str]:
    try:
        return installed_peers(list(settings.methods), settings.python)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"The interpreter {settings.python} cannot be run ({error}); give another one with --python."
        ) from error


def _steps(settings: ComparisonSettings) -> int:
    return settings.preset.refine_steps if settings.refine is None else settings.refine


def _weights(settings: ComparisonSettings) -> str | None:
    path = settings.preset.weights_path if settings.weights is None else Path(settings.weights)
    return checkpoint_digest(path)


def _inputs(pair: Pair, method: Method, settings: ComparisonSettings, peers: dict[str, str]) -> dict:
    """Returns what decides about a measurement; where it changes, the old measurement is of no use."""
    files = {
        role: [path.name, path.stat().st_size]
        for role in ("fixed", "moving", "fixed_labels", "moving_labels")
        for path in [getattr(pair, role)]
    }
    if method.peer:
        return {**files, "version": peers[method.name]}
    inputs = {**files, "version": __version__}
    if method.network:
        inputs["weights"] = _weights(settings)
    if method.refined:
        inputs["refine"] = _steps(settings)
    return inputs


def _measured(pair: Pair, method: Method, settings: ComparisonSettings, shared: Path) -> dict:
    """Runs a method on a pair and returns what it measured, or why not."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    before = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "load_before": load}
    with tempfile.TemporaryDirectory(prefix="sacb-compare-") as temporary:
        try:
            job = _job(pair, method, settings, shared, itk_folder(temporary))
            python = settings.python if method.peer else sys.executable
            measured = run_in_process(job, python, settings.threads)
            if "failure" not in measured:
                measured |= score(pair, itk_folder(temporary), settings.distances)
        except UserError as error:
            measured = {"failure": str(error)}
    return {**before, **measured}


def _job(pair: Pair, method: Method, settings: ComparisonSettings, shared: Path, folder: Path) -> dict:
    job = {
        "module": f"{_PEERS}.{method.peer}" if method.peer else "SACBRegistrationLib.comparison.ours",
        "ours": method.peer is None,
        "folder": str(folder),
        "threads": settings.threads,
        "device": settings.device,
        "own_labels": settings.own_labels,
        "fixed": str(pair.fixed),
        "moving": str(pair.moving),
        "fixed_labels": str(pair.fixed_labels),
        "moving_labels": str(pair.moving_labels),
    }
    if method.peer:
        if not (shared / "fixed.nii").is_file():
            write_peer_images(pair, settings.peers, shared)
        files = {role: str(shared / f"{role}.nii") for role in ("fixed", "moving", "reference")}
        if not Path(files["reference"]).is_file():
            files["reference"] = files["fixed"]
        rule = settings.preset.normalization
        normalization = {"kind": rule.kind, "lower": rule.lower, "upper": rule.upper}
        return {**job, **files, "normalization": normalization}
    options = register_options(method, settings.preset_file, _steps(settings), settings.weights)
    return {**job, "settings": options}
