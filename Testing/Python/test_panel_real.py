"""A run from the panel, with the real logic and worker process, never stops the window."""

import pytest
from panel_host import process_events, stall_meter
from real_panel import real_panel, run_to_end

from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.ui.self_test import small_phantom_pair

MOST_STALL_MS = 100
TRIES = 4


@pytest.fixture
def panel(tmp_path, monkeypatch):
    with real_panel(small_phantom_pair(), tmp_path / "temporary é", monkeypatch, []) as panel:
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
