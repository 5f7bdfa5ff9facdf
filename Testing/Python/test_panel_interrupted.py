"""Runs of the panel, with the real logic and worker process, that do not come to their end."""

import os
import signal
from pathlib import Path

import pytest
from panel_host import process_until
from real_panel import node_ids, real_panel, run_to_end

from SACBRegistrationLib.ui.self_test import small_phantom_pair


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
