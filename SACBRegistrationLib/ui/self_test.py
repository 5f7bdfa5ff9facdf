"""The cases of Slicer's self-test: from two volumes to results, on the phantom pair made small."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import slicer

from SACBRegistrationLib.imaging.phantom import PhantomPair, make_phantom_pair
from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.ui.choices import Alignment, ClusterLevel, Comparison, FieldShown
from SACBRegistrationLib.ui.parameters import MODULE_NAME
from SACBRegistrationLib.ui.sample_data import add_phantom_pair

_COARSENING = 4.0
_PATIENCE_S = 300.0


def small_phantom_pair() -> PhantomPair:
    """Returns the phantom pair with voxels four times as large: a run takes seconds."""
    return make_phantom_pair(coarsening=_COARSENING)


class SelfTest:
    """Mixed into a ScriptedLoadableModuleTest, which brings the assertions.

    Attributes:
        logic_class: The module's logic.
    """

    logic_class: type

    def cases(self) -> tuple[Callable[[], None], ...]:
        """Returns the cases in order; that of saving goes on with what the panel made."""
        return (self.logic, self.panel, self.save_and_load, self.cancel, self.error)

    def logic(self) -> None:
        """The logic registers a pair without the panel."""
        fixed, moving, *others = self._fresh_pair()
        nodes = self.logic_class().register(
            fixed,
            moving,
            alignment="none",
            refine=0,
            fixedSegmentationNode=others[0],
            movingSegmentationNode=others[1],
        )
        self.assertGreater(nodes.report["local_ncc"]["after"], nodes.report["local_ncc"]["before"])
        self.assertEqual(nodes.warped.GetImageData().GetDimensions(), fixed.GetImageData().GetDimensions())
        self.assertEqual(len(nodes.clusterMaps), 8)
        self.assertGreater(nodes.table.GetNumberOfRows(), 3)
        copies = self.logic_class().applyTransform(nodes, [others[3]])
        self.assertEqual(len(copies), 1)

    def panel(self) -> None:
        """The panel goes from choosing the volumes to seeing results."""
        panel = self._open_panel()
        fixed, moving, *_ = self._fresh_pair()
        ui = panel.ui
        self.assertFalse(ui.applyButton.enabled)
        self._choose(panel, fixed, moving)
        self.assertTrue(ui.applyButton.enabled, ui.applyButton.toolTip)
        ui.applyButton.click()
        self.assertEqual(ui.applyButton.text, "Cancel")
        self._wait(panel)
        self.assertEqual(panel.controller.outcome, "done", ui.statusLabel.text)
        self.assertEqual(ui.applyButton.text, "Apply")
        result = result_of(panel.parameters.resultTransform)
        self.assertIsNotNone(result.warped)
        self.assertIs(ui.qualityTableView.mrmlTableNode(), result.table)
        for comparison in Comparison:
            panel.parameters.comparison = comparison
            slicer.app.processEvents()
        for shown in FieldShown:
            panel.parameters.fieldView = shown
            slicer.app.processEvents()
        panel.parameters.clusterLevel = ClusterLevel.LEVEL_2
        slicer.app.processEvents()
        self.assertFalse(ui.statusLabel.styleSheet, ui.statusLabel.text)

    def save_and_load(self) -> None:
        """A saved scene brings choices and results back."""
        panel = self._open_panel()
        panel.parameters.clusters = 5
        name = panel.parameters.resultTransform.GetName()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            slicer.app.processEvents()
            self.assertIsNone(panel.parameters.fixedVolume)
            slicer.util.loadScene(path)
        slicer.app.processEvents()
        self.assertEqual(panel.parameters.clusters, 5)
        self.assertIs(panel.parameters.alignment, Alignment.NONE)
        self.assertEqual(panel.parameters.resultTransform.GetName(), name)
        self.assertEqual(len(result_of(panel.parameters.resultTransform).clusterMaps), 8)

    def cancel(self) -> None:
        """A cancelled run leaves the scene as it was."""
        panel = self._open_panel()
        self._choose(panel, *self._fresh_pair()[:2])
        slicer.app.processEvents()
        before = slicer.mrmlScene.GetNumberOfNodes()
        panel.ui.applyButton.click()
        started = time.monotonic()
        while panel.controller.running and time.monotonic() < started + 1.0:
            slicer.app.processEvents()
        panel.ui.applyButton.click()
        self._wait(panel)
        self.assertEqual(panel.controller.outcome, "cancelled")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def error(self) -> None:
        """A run that cannot succeed says why in the panel, and leaves the scene as it was."""
        panel = self._open_panel()
        self._choose(panel, *self._fresh_pair()[:2])
        before = slicer.mrmlScene.GetNumberOfNodes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "no weights.pt"
            path.write_text("This file holds no weights.", encoding="utf-8")
            panel.ui.weightsPath.currentPath = str(path)
            panel.ui.applyButton.click()
            self._wait(panel)
        self.assertEqual(panel.controller.outcome, "failed")
        self.assertTrue(panel.ui.statusLabel.text)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def _fresh_pair(self) -> list:
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        if not hasattr(self, "_pair"):
            self._pair = small_phantom_pair()
        return add_phantom_pair(slicer.mrmlScene, self._pair)

    def _open_panel(self):
        slicer.util.selectModule(MODULE_NAME)
        slicer.app.processEvents()
        return slicer.util.getModuleWidget(MODULE_NAME).panel

    def _choose(self, panel, fixed, moving) -> None:
        panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
        panel.ui.movingVolumeSelector.setCurrentNode(moving)
        panel.parameters.alignment = Alignment.NONE
        panel.ui.refineCheckBox.checked = False

    def _wait(self, panel) -> None:
        started = time.monotonic()
        while panel.controller.running:
            self.assertLess(time.monotonic() - started, _PATIENCE_S, "The run does not end")
            slicer.app.processEvents()
            time.sleep(0.005)
