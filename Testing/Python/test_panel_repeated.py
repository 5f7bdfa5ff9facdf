"""What twenty runs from the panel leave behind."""

import pytest
from panel_host import process_until, slicer
from real_panel import node_ids, real_panel

from SACBRegistrationLib.ui import panel as panel_code
from SACBRegistrationLib.ui.requests import register_arguments
from SACBRegistrationLib.ui.self_test import small_phantom_pair

RUNS = 20


@pytest.fixture
def started():
    return []


@pytest.fixture
def no_network(monkeypatch):
    """Leaves the network out: it is the processes, files and nodes that count here."""

    def without(parameters):
        return register_arguments(parameters) | {"weights": "none"}

    monkeypatch.setattr(panel_code, "register_arguments", without)


def test_twenty_runs_leave_nothing_behind(no_network, started, tmp_path, monkeypatch):
    with real_panel(small_phantom_pair(), tmp_path / "tmp", monkeypatch, started) as panel:
        nodes, observers = [], []
        for _ in range(RUNS):
            panel.ui.applyButton.click()
            process_until(lambda: not panel.controller.running, seconds=120)
            assert panel.controller.outcome == "done", panel.ui.statusLabel.text
            nodes.append(node_ids())
            observers.append(len(panel.Observations))
            assert panel.scheduler.active == 0
            assert not [process for process in started if process.is_running()]
            assert list((tmp_path / "tmp").iterdir()) == []
    assert len(started) == RUNS
    assert all(ids == nodes[0] for ids in nodes[1:])
    assert len(set(observers)) == 1
    assert slicer.mrmlScene is not None
