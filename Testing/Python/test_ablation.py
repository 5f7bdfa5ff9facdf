"""Ablations: each network in a folder of its own, gone on with after a stop, in a table like the paper's."""

import csv
import io
import json
from dataclasses import replace

import pytest
from small_scans import QUICK_EXTENT, SPACING, write_csv, write_scans

from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.ablation import ABLATIONS, AblationRow, Variant, run_ablation
from SACBRegistrationLib.training.ablation_table import csv_table, markdown_table
from SACBRegistrationLib.training.recorded import RecordedSettings, recorded_data
from SACBRegistrationLib.training.settings import Devices, TrainingSettings
from SACBRegistrationLib.training.split import read_split

PARTS = {"atlas": "atlas", "a": "train", "b": "train", "c": "validation", "d": "test"}
VARIANTS = (Variant((), 5), Variant((5, 4), 3, "channel"))


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder)
    return write_csv(folder / "split.csv", PARTS)


@pytest.fixture(scope="module")
def data(split):
    return recorded_data(read_split(split, None), load_preset("ixi"), RecordedSettings(SPACING, QUICK_EXTENT))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    output = tmp_path_factory.mktemp("ablation")
    return TrainingSettings(output=output, steps=2, validate_every=2, devices=Devices("cpu"))


@pytest.fixture(scope="module")
def rows(settings, data):
    """Rows of a run that was stopped in the middle of the second network and called again."""
    stages = []

    class Cancel:
        def is_set(self):
            return bool(stages) and stages[-1].endswith(f"{VARIANTS[1].folder}, step 1")

    progress = Progress(callback=lambda fraction, stage: stages.append(stage), cancel=Cancel())
    assert run_ablation(VARIANTS, settings, data, progress) is None
    kept = (settings.output / "no-sacb" / "weights.pt").stat().st_mtime_ns
    stages.clear()
    found = run_ablation(VARIANTS, settings, data, Progress(callback=lambda f, stage: stages.append(stage)))
    assert (settings.output / "no-sacb" / "weights.pt").stat().st_mtime_ns == kept
    assert stages == [f"{VARIANTS[1].folder}, step 2"]
    return found


def test_every_network_is_trained_with_its_own_parts(rows, settings):
    assert [row.variant for row in rows] == list(VARIANTS)
    assert all(row.steps == 2 and 0 < row.dice < 1 and row.training_seconds > 0 for row in rows)
    networks = [load_checkpoint(settings.output / v.folder / "weights.pt") for v in VARIANTS]
    assert [network.sacb_levels for network in networks] == [(), (5, 4)]
    assert networks[1].feature_mean == "channel" and set(networks[1].clusters.values()) == {3}


def test_finished_rows_are_read_and_other_settings_refused(rows, settings, data):
    assert run_ablation(VARIANTS, settings, data) == rows
    with pytest.raises(UserError, match="was made with seed 0, not 5; give the same settings"):
        run_ablation(VARIANTS, replace(settings, seed=5), data)
    path = settings.output / "no-sacb" / "result.json"
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text("{}", encoding="utf-8")
        with pytest.raises(UserError, match="is damaged; remove it"):
            run_ablation(VARIANTS, settings, data)
    finally:
        path.write_text(content, encoding="utf-8")
    assert json.loads(content)["dice"] == rows[0].dice


def test_the_command_prints_and_writes_the_table(rows, settings, split, capsys, monkeypatch):
    monkeypatch.setitem(ABLATIONS, "levels", VARIANTS)
    options = ["--split", str(split), "-o", str(settings.output), "--steps", "2", "--validate-every", "2"]
    small = ["--spacing", str(SPACING), "--extent", *map(str, QUICK_EXTENT), "--device", "cpu"]
    # lambda is 1 in `settings`, the preset's 3 here.
    assert main(["ablate", "levels", *options, *small]) == 2
    assert "was made with diffusion weight 1.0, not 3.0" in capsys.readouterr().err
    assert main(["ablate", "levels", *options, *small, "--diffusion-weight", "1"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == markdown_table(rows) == (settings.output / "levels.md").read_text().strip()
    assert (settings.output / "levels.csv").read_text() == csv_table(rows)


def test_the_tables_have_the_papers_rows_and_columns():
    def table(name):
        found = [AblationRow(v, 0.7309, 0.0184, 15778.2, 1.0836, 10) for v in ABLATIONS[name]]
        return list(csv.DictReader(io.StringIO(csv_table(found)))), markdown_table(found)

    third, text = table("table3")
    columns = [
        "N",
        "Scale 5",
        "Scale 4",
        "Scale 3",
        "Scale 2",
        "Dice",
        "|J|<0 %",
        "Memory (MiB)",
        "Training (s)",
    ]
    assert list(third[0]) == columns
    assert [row["N"] for row in third] == ["-", "5", "5", "5", "5", "7", "9", "11"]
    assert ["".join(row[c] for c in columns[1:5]) for row in third[:5]] == [
        "----",
        "x---",
        "xx--",
        "xxx-",
        "xxxx",
    ]
    assert list(third[5].values())[5:] == ["0.7309", "0.018", "15778", "1.084"]
    lines = text.splitlines()
    assert len(lines) == 10 and len({len(line) for line in lines}) == 1 and r"\|J\|<0 %" in lines[0]
    fourth, _ = table("feature-mean")
    assert [row["Spatial"] + row["Channel"] + row["Mix"] for row in fourth] == ["x--", "-x-", "--x"]
    assert [row["N"] for row in table("clusters")[0]] == ["5", "7", "9", "11"]


def test_scans_to_score_on_are_needed(settings, data):
    with pytest.raises(UserError, match="name some in the split as test or validation"):
        run_ablation(VARIANTS, settings, replace(data, test=(), validation=()))
