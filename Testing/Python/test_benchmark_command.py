"""The benchmark command: its figures fit together, and what it compares with is the paper's computation."""

import contextlib
import io
import json

import pytest
import SimpleITK as sitk
import torch
from reference_sacb_net import ReferenceSACBNet, means, nearest
from small_pairs import make_small_pair, write_preset

from SACBRegistrationLib.benchmark import table
from SACBRegistrationLib.benchmark.pair import write_weights
from SACBRegistrationLib.benchmark.published import PublishedSACBNet
from SACBRegistrationLib.benchmark.run import with_ratios
from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.network import SACBNet, load_checkpoint, save_checkpoint
from SACBRegistrationLib.presets import load_preset

SIZE = (48, 32, 48)
STAGES = (
    "imports", "reading", "checking", "alignment", "network", "refinement", "transform", "report", "inverse",
    "picture", "writing", "start and end",
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The command's output and figures for a small pair, and the folder of everything that was given."""
    folder = tmp_path_factory.mktemp("benchmark")
    pair = make_small_pair()
    for name in ("fixed", "moving"):
        sitk.WriteImage(getattr(pair, name), str(folder / f"{name}.nrrd"))
    torch.manual_seed(2)
    recorded = {"spacing_mm": [7.0, 7.0], "extent_mm": [224.0] * 3, "axes": "RAS"}
    save_checkpoint(folder / "weights.pt", SACBNet(), recorded)
    preset = write_preset(folder)
    preset.write_text(
        json.dumps(
            {**json.loads(preset.read_text(encoding="utf-8")), "weights": "weights.pt", "clusters": 3}
        ),
        encoding="utf-8",
    )
    command = [
        "benchmark",
        "--preset",
        str(preset),
        "--size",
        *map(str, SIZE),
        "--repeats",
        "1",
        "--markdown",
    ]
    files = [
        "--pair",
        str(folder / "fixed.nrrd"),
        str(folder / "moving.nrrd"),
        "--json",
        str(folder / "b.json"),
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*command, *files, "--threads", "1"]) == 0
    return printed.getvalue(), json.loads((folder / "b.json").read_text(encoding="utf-8")), folder


def test_passes_say_how_long_how_much_and_compared_with_what(ran):
    passes = {(found["what"], found["device"]): found for found in ran[1]["passes"]}
    published, network = passes["published computation", "cpu"], passes["network", "cpu"]
    for found in (published, network):
        assert 0 < found["best_seconds"] <= found["median_seconds"] and found["runs"] == 1
        assert found["device_name"] == "CPU, 1 threads"
        if found["peak_memory_bytes"] is not None:
            assert 50e6 < found["idle_memory_bytes"] <= found["peak_memory_bytes"] < 20e9
    assert published["times_faster"] == 1 and published["kmeans_steps"] >= 8
    assert network["times_faster"] == published["median_seconds"] / network["median_seconds"]
    if network["peak_memory_bytes"] is not None:
        expected = network["peak_memory_bytes"] / published["peak_memory_bytes"]
        assert network["share_of_memory"] == expected
    difference = network["difference_voxels"]
    assert 0 < difference["mean"] < 1e-3 and difference["mean"] <= difference["largest"] < 5e-2


def test_registrations_have_every_stage(ran):
    plain, refined = ran[1]["registrations"]
    assert set(refined["stages"]) == set(STAGES)
    assert set(plain["stages"]) == set(STAGES) - {"inverse"}
    for found in (plain, refined):
        stages = sum(seconds["median_seconds"] for seconds in found["stages"].values())
        assert 0.8 * found["median_seconds"] < stages <= found["median_seconds"] + 1e-6
        if found["peak_memory_bytes"] is not None:
            assert 50e6 < found["peak_memory_bytes"] < 20e9
    # The weights record 7 mm: their own grid is another than the one that was asked for.
    assert plain["network_grid"]["size"] == list(SIZE)
    assert refined["network_grid"]["size"] != list(SIZE)
    assert plain["stages"]["refinement"]["median_seconds"] < refined["stages"]["refinement"]["median_seconds"]


def test_weights_run_once_and_at_the_size_that_was_asked_for(tmp_path):
    recorded = {"preset": "small", "spacing_mm": [7.0, 7.0], "symmetric_passes": 2, "licence": "none"}
    save_checkpoint(tmp_path / "own.pt", SACBNet(), recorded)
    preset = write_preset(tmp_path)
    document = {**json.loads(preset.read_text(encoding="utf-8")), "weights": "own.pt"}
    preset.write_text(json.dumps(document), encoding="utf-8")
    info = load_checkpoint(write_weights(load_preset(preset), tmp_path)).info
    assert info["licence"] == "none" and not {"spacing_mm", "symmetric_passes"} & set(info)


def test_table_shows_it_all(ran):
    printed, outcome, _ = ran
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    for what in ("published computation, 48x32x48", "network, 48x32x48", *(f"- {stage}" for stage in STAGES)):
        assert any(line.startswith(f"| {what} |") for line in lines), what
    network = next(found for found in outcome["passes"] if found["what"] == "network")
    row = next(line for line in lines if line.startswith("| network"))
    assert f"| {network['times_faster']:.1f} |" in row
    assert outcome["circumstances"]["date"] in printed and outcome["circumstances"]["processor"] in printed
    plain = table.plain_text(outcome).splitlines()
    assert plain[0].split() == " ".join(table.HEADER).split()


def test_nothing_tells_whose_images_they_were(ran):
    printed, outcome, folder = ran
    for text in (printed, json.dumps(outcome)):
        assert folder.name not in text and "fixed.nrrd" not in text


def test_ratios_are_those_of_the_same_device():
    def found(what, device, seconds, memory, gpu=None):
        return {
            "what": what, "device": device, "median_seconds": seconds,
            "peak_memory_bytes": memory, "gpu_memory_bytes": gpu,
        }  # fmt: skip

    base = [found("published computation", "cpu", 10.0, 400), found("network", "cpu", 2.0, 100)]
    gpu = [
        found("published computation", "cuda", 1.0, 500, 80),
        found("network", "cuda", 0.1, 500, 20),
    ]
    ratios = [(p["times_faster"], p["share_of_memory"]) for p in with_ratios(base + gpu)]
    assert ratios == [(1, 1), (5, 0.25), (1, 1), (10, 0.25)]
    alone = with_ratios([base[1], *gpu])
    assert alone[0]["times_faster"] is None and alone[0]["share_of_memory"] is None
    unknown = with_ratios(
        [found("published computation", "cpu", 3.0, None), found("network", "cpu", 1.0, None)]
    )
    assert unknown[1]["times_faster"] == 3 and unknown[1]["share_of_memory"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "40", "32", "32"], "multiples of 16"),
        (["--size", "16", "16", "16"], "multiples of 16"),
        (["--repeats", "0"], "repeats"),
        (["--threads", "-2"], "threads"),
        (["--preset", "brain"], "brain"),
        (["--json", "missing/folder/file.json"], "missing"),
        (["--pair", "none.nrrd", "none.nrrd"], "none.nrrd"),
    ],
)
def test_mistakes_are_refused(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "--quick", *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said and said.endswith(".")


def test_baseline_is_the_papers_computation():
    """The benchmark's baseline against the oracle, which is written equation by equation."""
    torch.manual_seed(4)
    state, clusters = SACBNet().eval().state_dict(), {5: 2, 4: 3, 3: 4, 2: 5}
    moving, fixed = (
        torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6, 6), (32, 48, 32), mode="trilinear")
        for _ in range(2)
    )
    baseline = PublishedSACBNet(state, clusters)
    displacement = baseline(moving, fixed)
    contexts = {key: (labels[0], centroids[0]) for key, (labels, centroids) in baseline.contexts.items()}
    oracle = ReferenceSACBNet(state, clusters)(moving[0], fixed[0], contexts)
    assert displacement.abs().max() > 0.3
    assert (displacement[0] - oracle.displacement).abs().max() < 1e-3
    assert set(contexts) == set(oracle.vectors)
    for key, (labels, centroids) in contexts.items():
        vectors = oracle.vectors[key]
        assert len(centroids) == clusters[key[0]]
        assert (nearest(vectors, centroids) == labels.flatten()).float().mean() > 0.9999
        assert (means(vectors, labels.flatten(), len(centroids)) - centroids).abs().max() < 1e-4
