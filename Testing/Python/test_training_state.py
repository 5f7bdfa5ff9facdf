"""Training states that are damaged or hostile are refused in one sentence, and change nothing."""

import os
import zipfile

import pytest
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.training.state import STATE_FILE, TrainingProgress, load_state, save_state

CHOICES = {"the seed": 0, "the SACB levels": [5, 4], "the data": "made up"}
PROGRESS = TrainingProgress(step=2, elapsed=7.5, best_dice=0.4, best_step=1, samples=4)


def fresh(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    return network, torch.optim.Adam(network.parameters(), lr=1e-2)


def step(network, optimizer) -> torch.Tensor:
    optimizer.zero_grad()
    loss = network(torch.arange(6.0).reshape(2, 3)).square().sum()
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.fixture
def trained():
    network, optimizer = fresh()
    for _ in range(2):
        step(network, optimizer)
    return network, optimizer


@pytest.fixture
def folder(trained, tmp_path):
    save_state(tmp_path, *trained, PROGRESS, CHOICES, {"scale": 1024.0})
    return tmp_path


def document(folder) -> dict:
    return torch.load(folder / STATE_FILE, weights_only=True)


def refusal(folder, choices=CHOICES) -> str:
    network, optimizer = fresh(1)
    before = [value.clone() for value in network.state_dict().values()]
    with pytest.raises(UserError) as error:
        load_state(folder, network, optimizer, choices)
    assert all(map(torch.equal, before, network.state_dict().values())) and not optimizer.state
    message = str(error.value)
    assert str(folder) in message and "\n" not in message and message.endswith(".")
    assert len(message) < len(str(folder)) + 300
    return message


def test_a_state_goes_on_where_it_was(folder, trained):
    network, optimizer = fresh(1)
    assert load_state(folder, network, optimizer, CHOICES) == (PROGRESS, {"scale": 1024.0})
    assert [step(network, optimizer) for _ in range(3)] == [step(*trained) for _ in range(3)]


def test_states_of_earlier_versions_are_read(folder):
    content = document(folder)
    del content["scaler"], content["choices"], content["progress"]["samples"]
    torch.save(content, folder / STATE_FILE)
    progress, scaling = load_state(folder, *fresh(1), CHOICES)
    assert progress.samples == progress.step == 2 and scaling == {}


def test_no_code_is_run(folder, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trace"),)

    torch.save({**document(folder), "more": Malicious()}, folder / STATE_FILE)
    assert "holds something other than weights" in refusal(folder)
    assert not (tmp_path / "trace").exists()


def test_a_storage_larger_than_the_file_is_refused(folder):
    path = folder / STATE_FILE
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    program = next(name for name in parts if name.endswith("data.pkl"))
    # One byte holds a number of values below 256, four bytes hold two thousand million of them.
    assert b"K\x0c" in parts[program]
    parts[program] = parts[program].replace(b"K\x0c", b"J\xff\xff\xff\x7f")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "is damaged or no torch file; start the training anew" in refusal(folder)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(folder):
    path = folder / STATE_FILE
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state/data/99", bytes(10**6))
    assert "unpacks to more than it holds" in refusal(folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_state_that_is_cut_off_is_refused(folder, share):
    whole = (folder / STATE_FILE).read_bytes()
    (folder / STATE_FILE).write_bytes(whole[: int(share * len(whole))])
    assert "start the training anew" in refusal(folder)


HUGE = torch.zeros(1, dtype=torch.float64).expand(10**6, 10**6)
WRONG = {
    "no dictionary": lambda content: [content],
    "choices that are a number": lambda content: {**content, "choices": 5},
    "a choice that is a tensor": lambda content: {**content, "choices": {"the SACB levels": [HUGE]}},
    "no weights": lambda content: {**content, "network": None},
    "a weight too few": lambda content: {**content, "network": dict(list(content["network"].items())[1:])},
    "a huge weight": lambda content: {**content, "network": {**content["network"], "0.bias": HUGE}},
    "whole numbers as weights": lambda content: {
        **content,
        "network": {**content["network"], "0.bias": torch.zeros(4, dtype=torch.int64)},
    },
    "no optimiser": lambda content: {**content, "optimizer": torch.zeros(3)},
    "a parameter too many": lambda content: with_moments(content, 9, {}),
    "moments of another optimiser": lambda content: with_moments(content, 0, {"sum": torch.zeros(4, 3)}),
    "a huge moment": lambda content: with_moments(content, 1, {"exp_avg": HUGE}),
    "a sparse moment": lambda content: with_moments(content, 1, {"exp_avg": torch.zeros(4).to_sparse()}),
    "a moment of another shape": lambda content: with_moments(content, 1, {"exp_avg": torch.zeros(3)}),
    "steps as text": lambda content: {**content, "progress": {"step": "2"}},
    "steps that are no number": lambda content: {**content, "progress": {"step": 1, "elapsed": float("nan")}},
    "steps backwards": lambda content: {**content, "progress": {"step": -2}},
    "steps without end": lambda content: {**content, "progress": {"step": 10**400}},
    "an unknown count": lambda content: {**content, "progress": {"step": 2, "lies": 3}},
    "scaling as text": lambda content: {**content, "scaler": {"scale": "large"}},
}


def with_moments(content: dict, number: int, values: dict) -> dict:
    state = content["optimizer"]["state"]
    changed = {**state, number: {**state.get(number, {}), **values}}
    return {**content, "optimizer": {**content["optimizer"], "state": changed}}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_a_state_cannot_hold_is_refused(folder, change):
    torch.save(change(document(folder)), folder / STATE_FILE)
    assert "does not fit or is damaged; start the training anew" in refusal(folder)


def test_a_choice_from_a_file_is_shown_as_one_line(folder):
    torch.save({**document(folder), "choices": {"the data": "a\nb" + "x" * 999}}, folder / STATE_FILE)
    assert "was begun with the data a?bxxx" in refusal(folder)
