"""Checkpoints: what is written comes back, and a file that does not fit is refused in one sentence."""

import os

import pytest
import torch
from checkpoints import INFO, content_of, message_of, write_valid
from golden import NAMES, load_golden

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet, load_checkpoint, save_checkpoint
from SACBRegistrationLib.network.authors_format import published_key, translate

SETTINGS = {
    "default": {},
    "all else": {
        "clusters": {5: 2, 4: 9, 3: 1, 2: 32},
        "feature_mean": "mixed",
        "sacb_levels": (5, 3),
        "matching_window": 5,
    },
    "no block": {"sacb_levels": ()},
    "channel": {"feature_mean": "channel"},
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return write_valid(tmp_path_factory.mktemp("weights") / "valid.pt")


@pytest.fixture
def refused(valid, tmp_path):
    """Returns the message with which the valid checkpoint is refused after a change to its content."""

    def load(change):
        content = content_of(valid)
        changed = change(content)
        path = tmp_path / "changed.pt"
        torch.save(content if changed is None else changed, path)
        return message_of(path)

    return load


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@torch.no_grad()
def test_round_trip(settings, tmp_path):
    torch.manual_seed(2)
    network = SACBNet(**settings)
    path = tmp_path / "network.pt"
    save_checkpoint(path, network, INFO)
    loaded = load_checkpoint(path)
    assert not loaded.training and network.training
    assert {key: loaded.info[key] for key in INFO} == INFO
    assert loaded.info["format"] == "sacb-registration"
    for name in ("clusters", "feature_mean", "sacb_levels", "matching_window"):
        assert getattr(loaded, name) == getattr(network, name)
    pair = torch.rand(2, 1, 1, 16, 32, 32)
    expected = network.eval()(*pair).displacement
    assert torch.equal(loaded(*pair).displacement, expected)
    assert os.listdir(tmp_path) == ["network.pt"]


def test_saving_again_gives_the_same_content(valid, tmp_path):
    loaded = load_checkpoint(valid)
    again = tmp_path / "again.pt"
    save_checkpoint(again, loaded, loaded.info)
    assert load_checkpoint(again).info == loaded.info
    first, second = load_checkpoint(valid).state_dict(), load_checkpoint(again).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_half_and_double_precision_are_read(valid, tmp_path):
    for dtype in (torch.float16, torch.float64):
        content = content_of(valid)
        content["state_dict"] = {key: value.to(dtype) for key, value in content["state_dict"].items()}
        torch.save(content, tmp_path / "other.pt")
        loaded = load_checkpoint(tmp_path / "other.pt").state_dict()
        expected = load_checkpoint(valid).state_dict()
        assert all(value.dtype == torch.float32 for value in loaded.values())
        assert all(torch.allclose(loaded[key], expected[key], atol=1e-3) for key in expected)


def test_older_torch_format_is_read(valid, tmp_path):
    torch.save(content_of(valid), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_checkpoint(tmp_path / "old.pt").info["steps"] == 7


@pytest.mark.parametrize("name", NAMES)
def test_published_file(name):
    golden = load_golden(name)
    network = load_checkpoint(golden.weights)
    assert network.feature_mean == name.split("_")[0] == network.info["feature_mean"]
    assert network.info["format"] == "authors" and not network.training
    assert tuple(network.info["grid_size"]) == golden.arrays["fixed"].shape
    state = content_of(golden.weights)["state_dict"]
    kept = {key: value for key, value in state.items() if not key.startswith("transformer.")}
    assert {published_key(key) for key in network.state_dict()} == set(kept)
    for key, value in network.state_dict().items():
        assert torch.equal(value, kept[published_key(key)])
    assert {published_key(key) for key in translate(state)} == set(kept)


def test_published_file_that_does_not_fit_names_its_own_key(tmp_path):
    state = content_of(load_golden(NAMES[0]).weights)["state_dict"]
    cases = (
        ({"sacb_proj4.get_kernel.2.bias": None}, "'sacb_proj4.get_kernel.2.bias' is missing"),
        ({"conv1_out.3.conv.weight": torch.zeros(3, 8, 1, 1, 1)}, "'conv1_out.3.conv.weight' has shape"),
        ({"conv1.2.conv.bias": torch.full((8,), torch.nan)}, "'conv1.2.conv.bias' holds values that are no"),
        ({"encoder.conv7.0.weight": torch.zeros(3)}, "'encoder.conv7.0.weight' is unknown"),
        (dict.fromkeys([key for key in state if "get_kernel" in key]), "'sacb_proj5.get_kernel.0.weight' is"),
    )
    for change, words in cases:
        changed = {key: value for key, value in {**state, **change}.items() if value is not None}
        torch.save({"state_dict": changed}, tmp_path / "changed.pth.tar")
        assert words in message_of(tmp_path / "changed.pth.tar")


KEY = "sacb.4.bias_mlp.2.weight"
SPARSE = torch.eye(64).to_sparse()
WRONG_VALUES = {
    "missing": (None, "is missing"),
    "shape": (torch.zeros(64, 63), r"has shape (64, 63), expected (64, 64)"),
    "dimensions": (torch.zeros(64), "has shape (64,)"),
    "huge": (torch.zeros(1).expand(10**6, 10**6), "has shape (1000000, 1000000)"),
    "nan": (torch.full((64, 64), torch.nan), "no finite numbers"),
    "infinite": (torch.full((64, 64), torch.inf), "no finite numbers"),
    "overflow": (torch.full((64, 64), 1e300, dtype=torch.float64), "no finite numbers"),
    "integers": (torch.zeros(64, 64, dtype=torch.int64), "holds int64 values"),
    "complex": (torch.zeros(64, 64, dtype=torch.complex64), "holds complex64 values"),
    "sparse": (SPARSE, "is no plain tensor"),
}


@pytest.mark.parametrize("value, words", WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_wrong_parameter_is_named(refused, value, words):
    def change(content):
        if value is None:
            del content["state_dict"][KEY]
        else:
            content["state_dict"][KEY] = value

    message = refused(change)
    assert repr(KEY) in message and words in message


def test_first_wrong_parameter_is_named(refused):
    def change(content):
        content["state_dict"][KEY] = torch.zeros(1)
        content["state_dict"]["encoder.stages.2.1.conv.bias"] = torch.zeros(1)
        content["state_dict"]["extra"] = torch.zeros(1)

    assert "'encoder.stages.2.1.conv.bias'" in refused(change)


def put(place, key, value):
    def change(content):
        (content[place] if place else content)[key] = value

    return change


def without(key):
    def change(content):
        del content[key]

    return change


LOOP = []
LOOP.append(LOOP)

WRONG_CONTENT = {
    "unknown key": (put("state_dict", "extra.weight", torch.zeros(3)), "'extra.weight' is unknown"),
    "long unknown key": (put("state_dict", "x" * 5000, torch.zeros(3)), "xxx' is unknown"),
    "no tensor": (put("state_dict", KEY, [1.0, 2.0]), f"no tensor at {KEY!r}"),
    "no text as key": (put("state_dict", 5, torch.zeros(3)), "no tensor at '5'"),
    "no state_dict": (without("state_dict"), "no 'state_dict'"),
    "state_dict is a list": (put(None, "state_dict", [1]), "no 'state_dict'"),
    "empty state_dict": (put(None, "state_dict", {}), "no 'state_dict'"),
    "a bare tensor": (lambda content: torch.zeros(3), "no 'state_dict'"),
    "a bare list": (lambda content: [1, 2], "no 'state_dict'"),
    "bare parameters": (lambda content: content["state_dict"], "no 'state_dict'"),
    "no format": (without("format"), "'format'"),
    "other format": (put(None, "format", "else"), "'format'"),
    "tensor as format": (put(None, "format", torch.zeros(3)), "'format'"),
    "later version": (put(None, "format_version", 2), "'format_version' '2'"),
    "no version": (without("format_version"), "'format_version'"),
    "text as version": (put(None, "format_version", "1" * 10_000), "'format_version'"),
    "tensor as version": (put(None, "format_version", torch.zeros(3)), "'format_version'"),
    "no info": (without("info"), "'info'"),
    "tensor in info": (put("info", "steps", torch.zeros(3)), "metadata at 'steps'"),
    "tensor deep in info": (put("info", "nested", {"a": [torch.zeros(3)]}), "metadata at 'nested'"),
    "huge text in info": (put("info", "licence", "x" * 10_000_000), "metadata at 'licence'"),
    "huge list in info": (put("info", "more", [0] * 1_000_000), "metadata at 'more'"),
    "many lists in info": (put("info", "more", [[[0] * 900] * 900]), "metadata at 'info'"),
    "list in itself": (put("info", "more", LOOP), "metadata at 'more'"),
    "number as info key": (put("info", 5, 1), "metadata at '5'"),
    "spacing of text": (put("info", "spacing_mm", ["a", "b"]), "metadata at 'spacing_mm'"),
    "negative extent": (put("info", "extent_mm", [160.0, -1.0, 224.0]), "metadata at 'extent_mm'"),
    "wrong axes": (put("info", "axes", "LRA"), "metadata at 'axes'"),
    "number as licence": (put("info", "licence", 5), "metadata at 'licence'"),
    "no clusters": (put("info", "clusters", 0), "at 'clusters'"),
    "too many clusters": (put("info", "clusters", 10**9), "at 'clusters'"),
    "clusters of some levels": (put("info", "clusters", {5: 7}), "at 'clusters'"),
    "half a cluster": (put("info", "clusters", 2.5), "at 'clusters'"),
    "clusters as text": (put("info", "clusters", "seven"), "at 'clusters'"),
    "unknown mean": (put("info", "feature_mean", "median"), "at 'feature_mean'"),
    "mean as list": (put("info", "feature_mean", ["spatial"]), "at 'feature_mean'"),
    "unknown level": (put("info", "sacb_levels", [6]), "at 'sacb_levels'"),
    "level as number": (put("info", "sacb_levels", 5), "at 'sacb_levels'"),
    "even window": (put("info", "matching_window", 4), "at 'matching_window'"),
    "endless window": (put("info", "matching_window", 10**9 + 1), "at 'matching_window'"),
    "other mean than the weights": (
        put("info", "feature_mean", "channel"),
        "'sacb.5.kernel_mlp.0.weight' has",
    ),
    "fewer blocks than weights": (put("info", "sacb_levels", [5, 4, 3]), "'sacb.2."),
}


@pytest.mark.parametrize("change, words", WRONG_CONTENT.values(), ids=WRONG_CONTENT)
def test_wrong_content_is_named(refused, change, words):
    assert words in refused(change)


def test_saving_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "a.pt", tmp_path / "file" / "a.pt", tmp_path / "folder"):
        with pytest.raises(UserError, match=r"cannot be written .*; choose another"):
            save_checkpoint(path, SACBNet(), {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize(
    "value", [torch.zeros(3), {1, 2}, object(), "x" * 20_000], ids=lambda v: type(v).__name__
)
def test_metadata_that_could_not_be_read_back_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="'note'"):
        save_checkpoint(tmp_path / "a.pt", SACBNet(), {"note": value})
    assert not os.listdir(tmp_path)


def test_an_interrupted_write_leaves_the_former_file(valid, tmp_path, monkeypatch):
    path = tmp_path / "kept.pt"
    save_checkpoint(path, SACBNet(), {"steps": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        save_checkpoint(path, SACBNet(), {"steps": 2})
    assert os.listdir(tmp_path) == ["kept.pt"] and load_checkpoint(path).info["steps"] == 1
