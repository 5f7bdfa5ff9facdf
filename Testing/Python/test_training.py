"""The training loop on tiny grids: it ends when told, goes on where it stopped, and says what is wrong."""

import csv
import json
import signal
from dataclasses import replace

import pytest
import SimpleITK as sitk
import torch
from small_heads import small_head

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.metrics import MetricsTable
from SACBRegistrationLib.training.pairs import SynthesisedPairs, TrainingData, TrainingGrid
from SACBRegistrationLib.training.schedule import Schedule
from SACBRegistrationLib.training.settings import Devices, TrainingSettings
from SACBRegistrationLib.training.state import TrainingProgress
from SACBRegistrationLib.training.synthesis import PairSynthesizer, SynthesisSettings
from SACBRegistrationLib.training.train import train

SPACING, EXTENT = 6.0, (96.0, 192.0, 192.0)


class _StopAfter:
    """A cancel event that is set once so many steps were reported."""

    def __init__(self, steps):
        self.left = steps

    def step(self, fraction, stage):
        self.left -= 1

    def is_set(self):
        return self.left <= 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    paths = []
    for name, angle in {"a": 0.0, "b": 0.1, "c": -0.08}.items():
        transform = sitk.Euler3DTransform((0.0, 0.0, 0.0), angle, 0.0, angle, (20 * angle, 0.0, 0.0))
        paths.append(folder / f"{name}.nii.gz")
        sitk.WriteImage(small_head(transform), str(paths[-1]))
    synthesis = SynthesisSettings(extent=EXTENT)
    training, judge = (PairSynthesizer.from_files(each, "LIA", synthesis) for each in (paths[:2], paths[2:]))
    return TrainingData(
        SynthesisedPairs(training, 0, (SPACING, SPACING)),
        judge.validation_pairs(1, 7, SPACING),
        (),
        TrainingGrid("LIA", (SPACING, SPACING), EXTENT),
        "images synthesised from 2 label maps",
        "Apache-2.0",
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return TrainingSettings(
        output=tmp_path_factory.mktemp("training") / "out",
        steps=4,
        learning_rate=5e-4,
        dice_weight=1.0,
        validate_every=2,
        # Several threads add in another order every time, and a rounding can move a voxel to another cluster.
        threads=1,
        devices=Devices("cpu"),
    )


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def straight(settings, data):
    """Folder of a run that nothing interrupted."""
    outcome = train(settings, data)
    assert outcome.finished and outcome.progress.step == 4
    return outcome.weights.parent


def test_a_run_leaves_weights_state_and_metrics(straight, settings):
    network = load_checkpoint(straight / "last.pt")
    assert network.info["steps"] == 4
    assert list(network.info["spacing_mm"]) == [SPACING, SPACING]
    assert list(network.info["extent_mm"]) == list(EXTENT) and network.info["axes"] == "LIA"
    assert network.info["licence"] == "Apache-2.0" and network.info["preset"] == "ixi"
    rows = _rows(straight / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    rates = [float(row["rate"]) for row in rows]
    assert rates == pytest.approx([5e-4 * (1 - i / 4) ** 0.9 for i in range(4)])
    for row in rows:
        parts = {key: float(row[key]) for key in ("loss", "ncc", "diffusion", "dice")}
        expected = parts["ncc"] + settings.diffusion_weight * parts["diffusion"] + 1 - parts["dice"]
        assert parts["loss"] == pytest.approx(expected, abs=1e-5)
    assert [int(row["step"]) for row in _rows(straight / "validation.csv")] == [2, 4]
    assert not list(straight.glob("*.partial"))
    assert json.loads((straight / "settings.json").read_text())["learning_rate"] == 5e-4


def test_the_best_checkpoint_is_the_one_that_validated_best(straight):
    rows = _rows(straight / "validation.csv")
    best = max(rows, key=lambda row: float(row["dice_after"]))
    info = load_checkpoint(straight / "weights.pt").info
    assert info["steps"] == int(best["step"])
    assert info["validation_dice"] == pytest.approx(float(best["dice_after"]))


def test_tensorboard_reads_the_events(straight):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(straight / "tensorboard"))
    events.Reload()
    rows = _rows(straight / "metrics.csv")
    shown = events.Scalars("training/loss")
    assert [event.step for event in shown] == [1, 2, 3, 4]
    assert [event.value for event in shown] == pytest.approx([float(row["loss"]) for row in rows])
    assert [event.step for event in events.Scalars("validation/dice_after")] == [2, 4]


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(straight, settings, data, tmp_path):
    stop = _StopAfter(3)
    outcome = train(replace(settings, output=tmp_path), data, Progress(callback=stop.step, cancel=stop))
    assert not outcome.finished and outcome.progress.step == 3
    assert [int(row["step"]) for row in _rows(tmp_path / "metrics.csv")] == [1, 2, 3]
    # A row written after the last saved state, as after a power cut, must not appear twice.
    MetricsTable(tmp_path / "metrics.csv", tuple(_rows(tmp_path / "metrics.csv")[0]), 3).add([4] + [0] * 8)
    # The number of threads that make pairs changes nothing.
    assert train(replace(settings, output=tmp_path, resume=True, workers=3), data).finished
    rows, expected = _rows(tmp_path / "metrics.csv"), _rows(straight / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    for key in ("loss", "ncc", "dice", "rate"):
        ours, theirs = ([float(row[key]) for row in each] for each in (rows, expected))
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert [int(row["step"]) for row in _rows(tmp_path / "validation.csv")] == [2, 4]
    ours, theirs = (load_checkpoint(folder / "last.pt").state_dict() for folder in (tmp_path, straight))
    # Adam's steps are as large as the rate: equal to a tenth of it means the same gradients and moments.
    assert max(float((ours[key] - theirs[key]).abs().mean()) for key in ours) < 5e-5


def test_a_run_stopped_while_it_validated_validates_when_resumed(settings, data, tmp_path):
    class Pairs(list):
        def __getitem__(self, index):
            if self.hit:
                signal.raise_signal(signal.SIGINT)
            return super().__getitem__(index)

    pairs = Pairs(data.validation)
    pairs.hit = True
    first = train(replace(settings, output=tmp_path, steps=2), replace(data, validation=pairs))
    assert not first.finished and first.progress.step == 2 and not _rows(tmp_path / "validation.csv")
    pairs.hit = False
    again = train(replace(settings, output=tmp_path, steps=2, resume=True), replace(data, validation=pairs))
    assert again.finished and again.progress.validated == 2
    assert [int(row["step"]) for row in _rows(tmp_path / "validation.csv")] == [2]


def test_the_terminate_signal_ends_the_run_with_everything_saved(settings, data, tmp_path):
    def terminate(fraction, stage):
        signal.raise_signal(signal.SIGTERM)

    former = signal.getsignal(signal.SIGTERM)
    outcome = train(replace(settings, output=tmp_path, steps=50), data, Progress(callback=terminate))
    assert load_checkpoint(outcome.weights).info["steps"] == 1 and not outcome.finished
    assert (tmp_path / "state.pt").is_file()
    assert signal.getsignal(signal.SIGTERM) is former


def test_training_starts_from_given_weights(straight, settings, data, tmp_path):
    start = straight / "weights.pt"
    changes = {"start_from": start, "steps": 1, "learning_rate": 0.0, "clusters": 5}
    outcome = train(replace(settings, output=tmp_path, **changes), replace(data, validation=()))
    before, after = load_checkpoint(start), load_checkpoint(outcome.weights)
    assert set(after.clusters.values()) == {5}
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_the_time_budget_ends_the_run(settings, data, tmp_path):
    changes = {"steps": None, "minutes": 1e-6}
    outcome = train(replace(settings, output=tmp_path, **changes), replace(data, validation=()))
    # Without validation the last checkpoint is the one that is kept.
    assert load_checkpoint(outcome.weights).info["steps"] == 1


def test_the_rate_falls_from_epoch_to_epoch_as_published():
    schedule = Schedule(epochs=3, steps=None, minutes=None, epoch_length=10)
    at = [TrainingProgress(step=n, samples=n) for n in range(31)]
    assert [schedule.decay(at[n]) for n in (0, 9)] == [1, 1]
    assert schedule.decay(at[10]) == schedule.decay(at[19]) == pytest.approx((2 / 3) ** 0.9)
    assert schedule.decay(at[29]) == pytest.approx((1 / 3) ** 0.9)
    assert schedule.fraction(at[15]) == 0.5 and schedule.fraction(at[30]) == 1
    assert [n for n in range(1, 31) if schedule.epoch_ended(at[n], 1)] == [10, 20, 30]
    # Four devices take four pairs a step, and the epoch ends within one.
    assert [n for n in range(4, 31, 4) if schedule.epoch_ended(TrainingProgress(samples=n), 4)] == [12, 20]
    # A time budget that is used up earlier ends it.
    short = replace(schedule, minutes=2.0)
    assert short.fraction(TrainingProgress(samples=3, elapsed=60.0)) == 0.5
    assert short.decay(TrainingProgress(samples=3, elapsed=120.0)) == 0


def test_a_diverged_run_stops_and_keeps_no_broken_weights(settings, data, tmp_path, monkeypatch):
    monkeypatch.setattr("SACBRegistrationLib.training.train._MOST_BAD_STEPS", 3)
    changes = {"steps": 100, "learning_rate": float("inf")}
    with pytest.raises(UserError, match="no finite value any more; lower the learning rate"):
        train(replace(settings, output=tmp_path, **changes), replace(data, validation=()))
    assert len(_rows(tmp_path / "metrics.csv")) <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, "needs an end"),
        ({"steps": 0}, "must be above 0"),
        ({"epochs": 3}, "have no epochs"),
        ({"workers": 0}, "must be 1 at least"),
        ({"clusters": 99}, "cannot be made so"),
        ({"devices": Devices("cpu", 0)}, "one device on one computer"),
    ],
)
def test_settings_without_sense_are_refused(settings, data, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train(replace(settings, output=tmp_path / "new", **change), data)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_refused(settings, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        train(replace(settings, output=tmp_path / "file" / "out"), data)


def test_a_training_is_not_overwritten(straight, settings, data):
    before = (straight / "state.pt").read_bytes()
    with pytest.raises(UserError, match="holds a training already; give --resume"):
        train(settings, data)
    assert (straight / "state.pt").read_bytes() == before


def test_resuming_without_or_with_a_damaged_or_another_state_is_refused(straight, settings, data, tmp_path):
    with pytest.raises(UserError, match="no training to resume"):
        train(replace(settings, output=tmp_path, resume=True), data)
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(UserError, match="is damaged or no torch file; start the training anew"):
        train(replace(settings, output=tmp_path, resume=True), data)
    with pytest.raises(UserError, match="was begun with the seed 0, not 1; resume it with that"):
        train(replace(settings, seed=1, resume=True), data)
