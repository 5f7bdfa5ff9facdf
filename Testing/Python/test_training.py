"""The training loop on tiny grids: it ends when told, goes on where it stopped, and says what is wrong."""

import csv
import os
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
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.train import train


class _StopAfter:
    """A cancel event that is set once so many steps were reported."""

    def __init__(self, steps):
        self.left = steps

    def step(self, fraction, stage):
        self.left -= 1

    def is_set(self):
        return self.left <= 0


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    turns = {"a": 0.0, "b": 0.1, "c": -0.08}
    for name, angle in turns.items():
        transform = sitk.Euler3DTransform((0.0, 0.0, 0.0), angle, 0.0, angle, (20 * angle, 0.0, 0.0))
        sitk.WriteImage(small_head(transform), str(folder / f"{name}.nii.gz"))
    a, b, c = (folder / f"{name}.nii.gz" for name in turns)
    return TrainingSettings(
        label_maps=(a, b),
        validation_maps=(c,),
        output=folder / "out",
        extent=(192.0, 192.0, 192.0),
        spacing=(4.0, 4.0),
        steps=4,
        learning_rate=5e-4,
        validate_every=2,
        validation_pairs=1,
    )


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def straight(settings):
    """Folder of a run that nothing interrupted."""
    return train(settings).parent


def test_a_run_leaves_weights_state_and_metrics(straight, settings):
    network = load_checkpoint(straight / "weights.pt")
    assert network.info["steps"] == 4
    assert list(network.info["spacing_mm"]) == [4.0, 4.0]
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


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(straight, settings, tmp_path):
    stop = _StopAfter(3)
    train(replace(settings, output=tmp_path), Progress(callback=stop.step, cancel=stop))
    assert [int(row["step"]) for row in _rows(tmp_path / "metrics.csv")] == [1, 2, 3]
    # A row written after the last saved state, as after a power cut, must not appear twice.
    MetricsTable(tmp_path / "metrics.csv", tuple(_rows(tmp_path / "metrics.csv")[0]), 3).add([4] + [0] * 8)
    train(replace(settings, output=tmp_path, resume=True))
    rows, expected = _rows(tmp_path / "metrics.csv"), _rows(straight / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[3]["loss"]) == pytest.approx(float(expected[3]["loss"]), rel=1e-3)
    ours, theirs = (load_checkpoint(folder / "weights.pt").state_dict() for folder in (tmp_path, straight))
    # Adam's steps are as large as the rate: equal to a tenth of it means the same gradients and moments.
    assert max(float((ours[key] - theirs[key]).abs().mean()) for key in ours) < 5e-5


@pytest.mark.skipif(os.name == "nt", reason="signals to the own process end it on Windows")
def test_the_terminate_signal_ends_the_run_with_everything_saved(settings, tmp_path):
    def terminate(fraction, stage):
        os.kill(os.getpid(), signal.SIGTERM)

    former = signal.getsignal(signal.SIGTERM)
    path = train(replace(settings, output=tmp_path, steps=50), Progress(callback=terminate))
    assert load_checkpoint(path).info["steps"] == 1
    assert (tmp_path / "state.pt").is_file()
    assert signal.getsignal(signal.SIGTERM) is former


def test_training_starts_from_given_weights(straight, settings, tmp_path):
    start = straight / "weights.pt"
    path = train(replace(settings, output=tmp_path, start_from=start, steps=1, learning_rate=0.0, clusters=5))
    before, after = load_checkpoint(start), load_checkpoint(path)
    assert set(after.clusters.values()) == {5}
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_the_time_budget_ends_the_run(settings, tmp_path):
    path = train(replace(settings, output=tmp_path, steps=None, minutes=1e-6, validation_maps=()))
    assert load_checkpoint(path).info["steps"] == 1


def test_a_diverged_run_stops_and_keeps_no_broken_weights(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("SACBRegistrationLib.training.train._MOST_BAD_STEPS", 3)
    with pytest.raises(UserError, match="no finite value any more; lower the learning rate"):
        train(replace(settings, output=tmp_path, steps=100, learning_rate=float("inf"), validation_maps=()))
    assert len(_rows(tmp_path / "metrics.csv")) <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, "needs an end"),
        ({"spacing": (3.0, 2.0)}, "no range"),
        ({"spacing": (0.0, 2.0)}, "no range"),
    ],
)
def test_settings_without_sense_are_refused(settings, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train(replace(settings, output=tmp_path, **change))


def test_a_map_cannot_be_trained_on_and_validated_on(settings, tmp_path):
    with pytest.raises(UserError, match="use it for one only"):
        train(replace(settings, output=tmp_path, validation_maps=settings.label_maps[:1]))


def test_a_folder_that_cannot_be_made_is_refused(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        train(replace(settings, output=tmp_path / "file" / "out"))


def test_resuming_without_or_with_a_damaged_state_is_refused(settings, tmp_path):
    with pytest.raises(UserError, match="no training to resume"):
        train(replace(settings, output=tmp_path, resume=True))
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(UserError, match="does not fit or is damaged"):
        train(replace(settings, output=tmp_path, resume=True))
