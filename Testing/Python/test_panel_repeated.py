"""What twenty runs from the panel leave behind."""

import os

import pytest
from panel_host import process_until, slicer
from real_panel import node_ids, real_panel
from warm_python import WORKER, WarmProcess, warm_python

from SACBRegistrationLib.ui import panel as panel_code
from SACBRegistrationLib.ui.qt_process import QtProcess
from SACBRegistrationLib.ui.requests import register_arguments
from SACBRegistrationLib.ui.self_test import small_phantom_pair

RUNS = 20
NEW_PYTHON_EVERY = 5


@pytest.fixture
def started():
    return []


@pytest.fixture
def little_work(monkeypatch):
    """Neither a network nor a fine field: it is the processes, files and nodes that count here."""

    def without(parameters):
        return register_arguments(parameters) | {"weights": "none", "fieldSpacing": 4.0}

    monkeypatch.setattr(panel_code, "register_arguments", without)


@pytest.fixture
def make_process(started):
    """Makes every fifth worker as Slicer does; the others are forks, which need not import torch anew."""
    if not hasattr(os, "fork"):
        yield QtProcess
        return
    with warm_python() as python:

        def make():
            return WarmProcess(python, WORKER) if len(started) % NEW_PYTHON_EVERY else QtProcess()

        yield make


def test_twenty_runs_leave_nothing_behind(little_work, make_process, started, tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    with real_panel(small_phantom_pair(), folder, monkeypatch, started, make_process) as panel:
        nodes, observers = [], []
        for _ in range(RUNS):
            panel.ui.applyButton.click()
            process_until(lambda: not panel.controller.running, seconds=120)
            assert panel.controller.outcome == "done", panel.ui.statusLabel.text
            nodes.append(node_ids())
            observers.append(len(panel.Observations))
            assert panel.scheduler.active == 0
            assert not [process for process in started if process.is_running()]
            assert list(folder.iterdir()) == []
    assert len(started) == RUNS
    assert sum(isinstance(process, QtProcess) for process in started) >= RUNS // NEW_PYTHON_EVERY
    assert all(ids == nodes[0] for ids in nodes[1:])
    assert len(set(observers)) == 1
    assert slicer.mrmlScene is not None
