"""Apply, progress, cancel and failure in the panel, with a hand-written logic."""

import pytest
from panel_fakes import refuse_torch
from panel_host import add_volume, open_panel, process_events, process_until, slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.outputs import result_of


@pytest.fixture
def panel():
    with open_panel() as panel:
        panel.ui.fixedVolumeSelector.setCurrentNode(add_volume("fixed"))
        panel.ui.movingVolumeSelector.setCurrentNode(add_volume("moving"))
        yield panel


def start(panel):
    panel.ui.applyButton.click()
    assert panel.controller.running
    return panel.logic.runs[-1]


def end(panel):
    process_until(lambda: not panel.controller.running)


def node_names() -> list[str]:
    scene = slicer.mrmlScene
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


def test_progress_stage_and_time_left(panel):
    assert not panel.ui.progressBar.visible
    run = start(panel)
    run.reach(0.62, "refinement", seconds_left=47)
    process_until(lambda: "62 %" in panel.ui.statusLabel.text)
    assert panel.ui.statusLabel.text == "Refinement · 62 % · about 45 s left"
    assert panel.ui.progressBar.value == 620
    run.reach(0.7, "refinement", note="The graphics card is full: the processor goes on.")
    process_until(lambda: "processor goes on" in panel.ui.statusLabel.text)


def test_one_button_for_apply_and_cancel(panel):
    run = start(panel)
    button = panel.ui.applyButton
    assert button.text == "Cancel" and button.enabled
    assert not panel.ui.inputsButton.enabled and not panel.ui.parameterSetSelector.enabled
    before = node_names()
    button.click()
    assert run.cancelled and not button.enabled and panel.ui.statusLabel.text == "Cancelling ..."
    run.end_cancelled()
    end(panel)
    assert button.text == "Apply" and button.enabled and panel.ui.inputsButton.enabled
    assert panel.ui.statusLabel.text == "Cancelled; the scene is as it was."
    assert not panel.ui.progressBar.visible and not panel.ui.showLogButton.visible
    assert node_names() == before


def test_result_is_kept_and_reused(panel):
    run = start(panel)
    run.finish()
    end(panel)
    nodes = run.nodes
    assert panel.ui.statusLabel.text.startswith("Done in") and "A note" in panel.ui.statusLabel.text
    assert not panel.ui.resultsButton.collapsed
    assert panel.ui.outputTransformSelector.currentNode() is nodes.transform
    assert panel.ui.outputVolumeSelector.currentNode() is nodes.warped
    assert panel.ui.qualityTableView.mrmlTableNode() is nodes.table
    assert result_of(panel.parameters.resultTransform).clusterMaps.keys() == nodes.clusterMaps.keys()
    before = node_names()
    again = start(panel)
    assert again.arguments["outputTransformNode"] is nodes.transform
    again.finish()
    end(panel)
    assert node_names() == before


def test_failure_is_one_sentence_with_the_log_behind_a_button(panel):
    before = node_names()
    run = start(panel)
    run.fail("The computer ran out of memory; choose a larger field spacing.", log="line 1\nline 2")
    end(panel)
    ui = panel.ui
    assert ui.statusLabel.text == "The computer ran out of memory; choose a larger field spacing."
    assert ui.statusLabel.styleSheet and ui.showLogButton.visible and ui.resultsLogButton.enabled
    ui.showLogButton.click()
    assert panel.log_dialog.text == "line 1\nline 2"
    assert node_names() == before
    start(panel).finish()
    assert not ui.showLogButton.visible and not ui.statusLabel.styleSheet
    end(panel)
    assert panel.controller.outcome == "done"


def test_refusal_before_the_start(panel):
    panel.logic.refuse = UserError("The volumes are in different scenes; load both into one.")
    panel.ui.applyButton.click()
    assert panel.ui.statusLabel.text.startswith("The volumes are in different scenes")
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.showLogButton.visible
    panel.logic.refuse = RuntimeError("something else")
    panel.ui.applyButton.click()
    assert "could not be started" in panel.ui.statusLabel.text and panel.ui.showLogButton.visible
    panel.logic.refuse = None
    assert start(panel) is panel.logic.runs[-1]


def test_torch_is_looked_for_when_apply_is_pressed():
    with open_panel(prepare=refuse_torch) as panel:
        panel.ui.fixedVolumeSelector.setCurrentNode(add_volume("fixed"))
        panel.ui.movingVolumeSelector.setCurrentNode(add_volume("moving"))
        assert not panel.ui.statusLabel.text
        panel.ui.applyButton.click()
        assert panel.ui.statusLabel.text == "PyTorch is missing; install the extension PyTorch."
        assert not panel.logic.runs and panel.ui.applyButton.enabled


def test_input_deleted_during_a_run(panel):
    run = start(panel)
    slicer.mrmlScene.RemoveNode(panel.parameters.movingVolume)
    process_events()
    assert panel.ui.applyButton.text == "Cancel" and panel.ui.applyButton.enabled
    run.fail("The moving volume was removed from the scene during the registration.")
    end(panel)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Choose a moving volume."


def test_closing_the_panel_ends_the_run(panel):
    run = start(panel)
    panel.close()
    assert run.closed
    process_until(lambda: panel.scheduler.active == 0)


def test_leaving_the_module_lets_the_run_go_on(panel):
    run = start(panel)
    panel.leave()
    assert not run.cancelled
    run.finish()
    end(panel)
    panel.enter()
    assert panel.parameters.resultTransform is run.nodes.transform
