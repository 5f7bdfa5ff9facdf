"""The training loop: synthesised pairs, the loss of the paper with soft Dice, Adam, a time budget."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from SACBRegistrationLib import __version__
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet, load_checkpoint, save_checkpoint
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.losses import diffusion, folding_percent, local_ncc, soft_dice
from SACBRegistrationLib.training.metrics import MetricsTable
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.state import TrainingProgress, load_state, save_state
from SACBRegistrationLib.training.synthesis import SynthesisSettings, TrainingPair
from SACBRegistrationLib.training.synthesizers import Synthesizer, synthesizer_for, validation_maps_for

CHECKPOINT_FILE = "weights.pt"
METRICS = ("step", "elapsed", "loss", "ncc", "diffusion", "dice", "folding_percent", "rate", "spacing")
VALIDATION = ("step", "elapsed", "dice_before", "dice_after", "folding_percent")
_SAVE_SECONDS = 60.0
_MOST_BAD_STEPS = 20
_LARGEST_GRADIENT = 5.0
_VALIDATION_SEED = 1_000_003

logger = logging.getLogger(__name__)


def train(settings: TrainingSettings, progress: Progress = Progress()) -> Path:
    """Trains until the steps or minutes are used up, the progress is cancelled, or a signal ends it.

    The loss is squared local NCC + diffusion_weight * diffusion + dice_weight * (1 - soft Dice); Adam, one
    pair a step, polynomial decay. SIGINT and SIGTERM end the run after the step with everything saved.

    Args:
        settings: What to train on, and how.
        progress: Receives the fraction done after every step; a set cancel event ends the run after the step.

    Returns:
        The checkpoint; beside it lie the resumable state, metrics.csv and validation.csv.

    Raises:
        UserError: When a file cannot be read or written, the settings make no sense, or the loss stays
            without a finite value.
    """
    _check(settings)
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {settings.output} cannot be written; choose another.") from error
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    if settings.start_from:
        network = load_checkpoint(settings.start_from)
        network.clusters = settings.clusters
    else:
        network = SACBNet(settings.clusters, settings.feature_mean)
        # A full-resolution flow that starts near zero leaves the first steps to the pyramid.
        torch.nn.init.normal_(network.final.estimate[2].weight, std=1e-5)
        torch.nn.init.zeros_(network.final.estimate[2].bias)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    done = load_state(settings.output, network, optimizer) if settings.resume else TrainingProgress()
    synthesis = SynthesisSettings(
        extent=settings.extent,
        largest_extent=settings.largest_extent,
        deformation=settings.deformation,
        t1_share=settings.t1_share,
    )
    pairs = synthesizer_for(settings.preset, settings.label_maps, settings.axes, synthesis)
    held_out = _validation_pairs(settings, synthesis)
    with _stop_signals() as stopped:
        done = _run(settings, network, optimizer, pairs, held_out, done, progress, stopped)
    return _save(settings, network, optimizer, done)


def _check(settings: TrainingSettings) -> None:
    if settings.steps is None and settings.minutes is None:
        raise UserError("Training needs an end; give a number of steps or of minutes.")
    low, high = settings.spacing
    if not 0 < low <= high:
        raise UserError(f"A spacing of {low} to {high} mm is no range; give positive numbers, lowest first.")
    shared = sorted(set(settings.label_maps) & set(settings.validation_maps))
    if shared:
        raise UserError(f"The label map {shared[0]} is for training and validation; use it for one only.")


def _run(settings, network, optimizer, pairs, held_out, done, progress, stopped) -> TrainingProgress:
    device = next(network.parameters()).device
    begun = saved = time.monotonic()
    before, bad = done.elapsed, 0
    metrics = MetricsTable(settings.output / "metrics.csv", METRICS, done.step)
    validation = MetricsTable(settings.output / "validation.csv", VALIDATION, done.step)
    with ThreadPoolExecutor(1) as ahead:
        upcoming = ahead.submit(_pair, pairs, settings, done.step)
        while (fraction := _fraction(settings, done)) < 1 and not _should_stop(progress, stopped):
            pair = upcoming.result()
            upcoming = ahead.submit(_pair, pairs, settings, done.step + 1)
            rate = settings.learning_rate * (1 - fraction) ** 0.9
            terms = _step(network, optimizer, pair, settings, rate, done.step, device)
            bad = 0 if terms is not None else bad + 1
            if bad >= _MOST_BAD_STEPS:
                raise UserError("The training loss has no finite value any more; lower the learning rate.")
            done = replace(done, step=done.step + 1, elapsed=before + time.monotonic() - begun)
            if terms is not None:
                row = (done.step, round(done.elapsed, 1), *terms, rate, pair.spacing)
                metrics.add(row)
            if held_out and done.step % settings.validate_every == 0:
                scores = validate(network, held_out)
                row = (done.step, round(done.elapsed, 1), *scores)
                validation.add(row)
                logger.info("step %d: Dice %.4f to %.4f, folding %.3f %%", done.step, *scores)
                done = replace(done, best_dice=max(done.best_dice, scores[1]))
            if time.monotonic() - saved > _SAVE_SECONDS:
                _save(settings, network, optimizer, done)
                saved = time.monotonic()
            if progress.callback is not None:
                progress.callback(_fraction(settings, done), f"step {done.step}")
    return done


def _step(network, optimizer, pair: TrainingPair, settings, rate, step, device):
    """Takes one step; returns its terms in the order of METRICS, or None where they are not finite."""
    network.train()
    network.kmeans = replace(network.kmeans, seed=settings.seed + step, max_steps=15, sample=8000)
    for group in optimizer.param_groups:
        group["lr"] = rate
    moving, fixed = pair.moving.to(device), pair.fixed.to(device)
    displacement = network(moving, fixed).displacement
    ncc = local_ncc(warp(moving, displacement), fixed)
    smoothness = diffusion(displacement)
    dice = ncc.new_zeros(())
    if settings.dice_weight:
        dice = soft_dice(warp(pair.moving_labels.to(device), displacement), pair.fixed_labels.to(device))
    loss = ncc + settings.diffusion_weight * smoothness + settings.dice_weight * (1 - dice)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    if not bool(torch.isfinite(loss)) or not bool(torch.isfinite(norm)):
        logger.warning("step %d has no finite loss or gradient and is skipped", step)
        return None
    optimizer.step()
    terms = (loss, ncc, smoothness, dice, folding_percent(displacement.detach()))
    return tuple(round(float(term.detach()), 6) for term in terms)


@torch.no_grad()
def validate(network: SACBNet, pairs: list[TrainingPair]) -> tuple[float, float, float]:
    """Returns mean soft Dice before, after, and the percentage of folded voxels, over the pairs."""
    network.eval()
    device = next(network.parameters()).device
    scores = []
    for pair in pairs:
        displacement = network(pair.moving.to(device), pair.fixed.to(device)).displacement
        labels, target = pair.moving_labels.to(device), pair.fixed_labels.to(device)
        after = soft_dice(warp(labels, displacement), target)
        scores.append([float(soft_dice(labels, target)), float(after), float(folding_percent(displacement))])
    return tuple(np.mean(scores, axis=0).round(5).tolist())


def _pair(pairs: Synthesizer, settings: TrainingSettings, step: int) -> TrainingPair:
    low, high = settings.spacing
    spacing = float(np.random.default_rng((settings.seed, step, 1)).uniform(low, high))
    return pairs.pair(settings.seed, step, spacing)


def _validation_pairs(settings: TrainingSettings, synthesis: SynthesisSettings) -> list[TrainingPair]:
    maps = validation_maps_for(settings.preset, settings.label_maps, settings.validation_maps)
    if not maps:
        return []
    synthesizer = synthesizer_for(settings.preset, maps, settings.axes, synthesis)
    return synthesizer.validation_pairs(settings.validation_pairs, _VALIDATION_SEED, settings.spacing[0])


def _fraction(settings: TrainingSettings, done: TrainingProgress) -> float:
    fractions = [0.0]
    if settings.steps is not None:
        fractions.append(done.step / settings.steps)
    if settings.minutes is not None:
        fractions.append(done.elapsed / 60 / settings.minutes)
    return min(max(fractions), 1.0)


def _should_stop(progress: Progress, stopped: threading.Event) -> bool:
    return stopped.is_set() or (progress.cancel is not None and progress.cancel.is_set())


def _save(settings, network, optimizer, done: TrainingProgress) -> Path:
    save_state(settings.output, network, optimizer, done)
    info = {
        "preset": settings.preset,
        "axes": settings.axes,
        "spacing_mm": list(settings.spacing),
        "extent_mm": list(settings.extent),
        "largest_extent_mm": list(settings.largest_extent or settings.extent),
        "training_data": f"images synthesised from {len(settings.label_maps)} label maps",
        "licence": "Apache-2.0",
        "version": __version__,
        "steps": done.step,
        "training_minutes": round(done.elapsed / 60, 1),
        "validation_dice": done.best_dice,
    }
    path = settings.output / CHECKPOINT_FILE
    save_checkpoint(path, network, info)
    return path


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Turns SIGINT and SIGTERM into an event while the block runs, where this is the main thread."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    names = (signal.SIGINT, signal.SIGTERM)
    former = {name: signal.signal(name, lambda *_: stopped.set()) for name in names}
    try:
        yield stopped
    finally:
        for name, handler in former.items():
            signal.signal(name, handler)
