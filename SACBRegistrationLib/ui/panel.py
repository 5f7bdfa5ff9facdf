"""The panel: binds the widgets of the .ui file to a parameter set, a run and its results."""

import slicer
import vtk
from slicer.util import VTKObservationMixin

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.ui.choices import Comparison, FieldShown
from SACBRegistrationLib.ui.connectors import connect_widgets
from SACBRegistrationLib.ui.dependencies import ensure_torch
from SACBRegistrationLib.ui.log_dialog import LogDialog
from SACBRegistrationLib.ui.messages import self_check_line, status_line
from SACBRegistrationLib.ui.parameter_sets import ParameterSets
from SACBRegistrationLib.ui.parameters import SACBRegistrationParameterNode
from SACBRegistrationLib.ui.requests import clusters_after, reason_against, register_arguments
from SACBRegistrationLib.ui.results_view import ResultsView, missing
from SACBRegistrationLib.ui.run_controller import Logic, RunController
from SACBRegistrationLib.worker.scheduling import Scheduler

_ERROR_STYLE = "color: #c0392b; font-weight: bold;"


class RegistrationPanel(VTKObservationMixin):
    """Everything behind the widgets; made once for a module widget.

    Args:
        widget: The loaded .ui file.
        scene: The scene.
        logic: Registers.
        scheduler: Watches the run.
        prepare: Called when Apply is pressed, raises UserError when a run cannot start.
    """

    def __init__(self, widget, scene: slicer.vtkMRMLScene, logic: Logic, scheduler: Scheduler,
                 prepare=ensure_torch) -> None:  # fmt: skip
        super().__init__()
        self.widget, self.ui = widget, slicer.util.childWidgetVariables(widget)
        self._scene = scene
        self.parameters: SACBRegistrationParameterNode | None = None
        self._of_run: SACBRegistrationParameterNode | None = None
        self._tag: int | None = None
        self._preset, self._shown = "", ()
        self.controller = RunController(logic, scheduler, prepare, self._show_run)
        self.results = ResultsView(scene)
        self.log_dialog = LogDialog(widget)
        widget.setMRMLScene(scene)
        self.sets = ParameterSets(self.ui.parameterSetSelector, scene, self.use)
        self.ui.applyButton.connect("clicked()", self.apply_or_cancel)
        self.ui.showLogButton.connect("clicked()", self.show_log)
        self.ui.resultsLogButton.connect("clicked()", self.show_log)
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._on_closing)
        self.addObserver(scene, slicer.vtkMRMLScene.EndCloseEvent, self._on_closed)
        self.addObserver(scene, slicer.vtkMRMLScene.EndImportEvent, self._on_loaded)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)
        self.sets.choose_first()
        self._show_run()

    def enter(self) -> None:
        """The module is opened: goes on where it was left."""
        self.sets.choose_first()
        self._show_results()

    def leave(self) -> None:
        """Another module is opened: a run goes on, blinking does not."""
        self.results.pause()

    def close(self) -> None:
        """The module goes: ends the run, the timers and all observations."""
        self.controller.close()
        self.results.close()
        self.log_dialog.close()
        self.use(None)
        self.sets.close()
        self.removeObservers()

    def use(self, node: slicer.vtkMRMLScriptedModuleNode | None) -> None:
        """Binds the widgets to a parameter node, or to none."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._tag)
            self.removeObserver(
                self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._on_parameters
            )
        self.parameters, self._tag = None, None
        if node is not None:
            self.parameters = SACBRegistrationParameterNode(node)
            self._preset, self._shown = self.parameters.preset, _exclusive(self.parameters)
            self._tag = connect_widgets(self.parameters, self.widget)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        self._show_choices()
        self._show_results()

    def apply_or_cancel(self) -> None:
        """Starts a run, or cancels the running one: what the one button says."""
        if self.controller.running:
            self.controller.cancel()
        elif self.parameters is not None and reason_against(self.parameters) is None:
            self._of_run = self.parameters
            try:
                arguments = register_arguments(self.parameters)
            except UserError as error:
                self._show_status(str(error), failed=True)
                return
            self.controller.start(arguments)

    def show_log(self) -> None:
        """Opens the window with the last run's log."""
        self.log_dialog.show(self.controller.log)

    def _on_parameters(self, _caller=None, _event=None) -> None:
        if self.parameters is None:
            return
        if self.parameters.preset != self._preset:
            before, self._preset = self._preset, self.parameters.preset
            clusters = clusters_after(before, self._preset, self.parameters.clusters)
            if clusters != self.parameters.clusters:
                self.parameters.clusters = clusters
        self._keep_apart()
        self._show_choices()
        self._show_results()

    def _keep_apart(self) -> None:
        """Deformation in colours and warped volume would hide each other: the later choice wins."""
        before, self._shown = self._shown, _exclusive(self.parameters)
        if self.parameters.fieldView.is_volume and self.parameters.comparison is not Comparison.FIXED:
            if self._shown[0] is not before[0]:
                self.parameters.comparison = Comparison.FIXED
            else:
                self.parameters.fieldView = FieldShown.OFF

    def _on_closing(self, _caller=None, _event=None) -> None:
        self.controller.close()
        self.results.forget()
        self.use(None)

    def _on_closed(self, _caller=None, _event=None) -> None:
        self.sets.choose_first()
        self._show_run()

    def _on_loaded(self, _caller=None, _event=None) -> None:
        self.sets.take_over_loaded()
        self._show_run()

    def _on_node_removed(self, _caller=None, _event=None) -> None:
        if not self._scene.IsClosing():
            self._show_choices()
            self._show_results()

    def _show_choices(self) -> None:
        """Shows whether Apply can be pressed, and what the results are."""
        parameters, running = self.parameters, self.controller.running
        reason = "There is no parameter set." if parameters is None else reason_against(parameters)
        button = self.ui.applyButton
        button.text = "Cancel" if running else "Apply"
        button.enabled = not self.controller.cancelling if running else reason is None
        if running:
            button.toolTip = "End the registration; the scene stays as it was."
        else:
            button.toolTip = reason or "Register the moving volume to the fixed one."
        for section in (self.ui.inputsButton, self.ui.outputsButton, self.ui.advancedButton):
            section.enabled = not running
        self.ui.parameterSetSelector.enabled = not running
        self.ui.outputVolumeSelector.enabled = parameters is not None and parameters.makeWarped
        result = None if parameters is None else result_of(parameters.resultTransform)
        table = None if result is None else result.table
        if self.ui.qualityTableView.mrmlTableNode() is not table:
            self.ui.qualityTableView.setMRMLTableNode(table)
        self.ui.selfCheckLabel.text = "" if result is None else self_check_line(result.report)
        self.ui.selfCheckLabel.visible = bool(self.ui.selfCheckLabel.text)

    def _show_results(self, fit: bool = False) -> None:
        if self.parameters is None or self._scene.IsClosing():
            return
        problem = self.results.show(self.parameters, fit) or missing(self.parameters)
        if problem is not None and not self.controller.running:
            self._show_status(problem, failed=True)
        elif problem is None and not self.controller.running and self.ui.statusLabel.styleSheet:
            self._show_status(status_line(self.controller), self.controller.outcome == "failed")

    def _show_run(self) -> None:
        """Called whenever the run has something new to tell."""
        controller, status = self.controller, self.controller.status
        self.ui.progressBar.visible = controller.running
        if controller.running and status is not None:
            self.ui.progressBar.value = round(1000 * status.fraction)
        self._show_status(status_line(controller), controller.outcome == "failed")
        self.ui.resultsLogButton.enabled = bool(controller.log)
        self._show_choices()
        if controller.outcome == "done" and self._of_run is not None:
            parameters, self._of_run = self._of_run, None
            self._take_over(parameters)

    def _take_over(self, parameters: SACBRegistrationParameterNode) -> None:
        """Keeps the nodes of a run in its parameter set: another run fills them again."""
        nodes = self.controller.nodes
        if parameters.parameterNode.GetScene() is None or nodes is None:
            return
        modifying = parameters.StartModify()
        parameters.outputTransform = parameters.resultTransform = nodes.transform
        if nodes.warped is not None:
            parameters.outputVolume = nodes.warped
        parameters.EndModify(modifying)
        self.ui.resultsButton.collapsed = False
        self._show_results(fit=True)

    def _show_status(self, text: str, failed: bool) -> None:
        self.ui.statusLabel.text = text
        self.ui.statusLabel.styleSheet = _ERROR_STYLE if failed else ""
        self.ui.statusLabel.visible = bool(text)
        self.ui.showLogButton.visible = failed and bool(self.controller.log)


def _exclusive(parameters: SACBRegistrationParameterNode) -> tuple[FieldShown, Comparison]:
    return parameters.fieldView, parameters.comparison
