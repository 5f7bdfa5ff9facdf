"""The panel with the real logic and worker process, on a phantom pair made small."""

import os
import signal
from pathlib import Path

import pytest
from panel_host import process_events, process_until, stall_meter
from real_panel import node_ids, real_panel, run_to_end

from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.ui.self_test import small_phantom_pair

MOST_STALL_MS = 100
TRIES = 4


@pytest.fixture(scope="module")
def pair():
    return small_phantom_pair()


@pytest.fixture
def started():
    """Processes that the logic of the test started."""
    return []


@pytest.fixture
def panel(pair, started, tmp_path, monkeypatch):
    with real_panel(pair, tmp_path / "temporary é", monkeypatch, started) as panel:
        yield panel


def test_from_apply_to_results_without_a_stall(panel):
    process_events()
    # Other programs can take the machine away for a moment: the best of some tries counts.
    for _ in range(TRIES):
        with stall_meter() as meter:
            panel.ui.applyButton.click()
            run_to_end(panel)
        assert panel.controller.outcome == "done", panel.ui.statusLabel.text
        if meter.longest_ms <= MOST_STALL_MS:
            break
    result = result_of(panel.parameters.resultTransform)
    assert result.report["local_ncc"]["after"] > result.report["local_ncc"]["before"]
    assert len(result.clusterMaps) == 8 and result.table.GetNumberOfRows() >= 4
    assert meter.longest_ms <= MOST_STALL_MS, f"{meter.longest_cpu_ms} ms busy"


def test_cancel_while_it_runs_and_run_again(panel):
    before = node_ids()
    panel.ui.applyButton.click()
    process_until(lambda: panel.controller.status.fraction > 0.03, seconds=120)
    panel.ui.applyButton.click()
    process_until(lambda: not panel.controller.running, seconds=5)
    assert panel.controller.outcome == "cancelled" and node_ids() == before
    panel.ui.applyButton.click()
    run_to_end(panel)
    assert panel.controller.outcome == "done"


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_worker(panel, started):
    before = node_ids()
    panel.ui.applyButton.click()
    process_until(lambda: panel.controller.status.fraction > 0.03, seconds=120)
    os.kill(started[-1].process_id(), signal.SIGKILL)
    run_to_end(panel)
    text = panel.ui.statusLabel.text
    assert panel.controller.outcome == "failed" and text.endswith(".") and node_ids() == before
    assert panel.ui.showLogButton.visible


def test_weights_that_are_none(panel, tmp_path):
    before = node_ids()
    path = Path(tmp_path) / "text.pt"
    path.write_text("no weights", encoding="utf-8")
    panel.ui.weightsPath.currentPath = str(path)
    panel.ui.applyButton.click()
    run_to_end(panel)
    assert panel.controller.outcome == "failed" and "text.pt" in panel.ui.statusLabel.text
    assert node_ids() == before
    panel.ui.showLogButton.click()
    assert panel.log_dialog.text
