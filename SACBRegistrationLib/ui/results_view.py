"""Shows what a run made the way the panel's choices ask for."""

import logging

import qt
import slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.field_view import FieldView, show_field
from SACBRegistrationLib.mrml.outputs import FIXED, RegistrationNodes, result_of
from SACBRegistrationLib.mrml.slice_views import checkerboard, fit_slices, show_volumes
from SACBRegistrationLib.ui.choices import ClusterLevel, Comparison, FieldShown
from SACBRegistrationLib.ui.parameters import SACBRegistrationParameterNode
from SACBRegistrationLib.ui.side_by_side import SideBySide

BLINK_MS = 600
SQUARES = 8
_BOARD = "SACBRegistration.checkerboard"

logger = logging.getLogger(__name__)


class ResultsView:
    """The slice views and the field's display of one parameter set.

    Args:
        scene: The scene.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._side_by_side = SideBySide()
        self._last: tuple = ()
        self._board_key: tuple = ()
        self._field: slicer.vtkMRMLGridTransformNode | None = None
        self._warped_seen = False
        self._blink = qt.QTimer()
        self._blink.setInterval(BLINK_MS)
        self._blink.connect("timeout()", self._swap)

    @property
    def blinking(self) -> bool:
        """Whether the two volumes take turns."""
        return self._blink.active

    def show(self, parameters: SACBRegistrationParameterNode, fit: bool = False) -> str | None:
        """Brings the views up to the choices; does nothing where they have not changed.

        Args:
            parameters: The choices; without a result nothing is touched.
            fit: Whether the result is new: everything is shown anew, and the whole of the fixed volume.

        Returns:
            What prevents it, in one sentence, or None.
        """
        result = result_of(parameters.resultTransform)
        fixed = None if result is None else result.transform.GetNodeReference(FIXED)
        if fixed is None:
            self._blink.stop()
            self._last = ()
            return None
        wanted = _choices(parameters, result, fixed)
        if wanted == self._last and not fit:
            return None
        before, self._last = self._last, wanted
        if fit:
            self._board_key = ()
        try:
            if fit or before[:3] != wanted[:3]:
                self._show_field(parameters, result, fixed)
            self._show_layers(parameters, result, fixed)
            if fit:
                fit_slices(self._scene, fixed)
        except UserError as error:
            return str(error)
        return None

    def pause(self) -> None:
        """Stops blinking, as when the panel is left; the next `show` goes on."""
        if self.blinking:
            self._blink.stop()
            self._last = ()

    def close(self) -> None:
        """Gives the views back: no blinking, no checkerboard, the former layout."""
        self._blink.stop()
        self._side_by_side.leave(self._scene)
        self._remove_board()
        self._last, self._field = (), None

    def forget(self) -> None:
        """Lets go of a scene that is being closed."""
        self._blink.stop()
        self._side_by_side.forget()
        self._last, self._board_key, self._field = (), (), None

    def _show_field(
        self,
        parameters: SACBRegistrationParameterNode,
        result: RegistrationNodes,
        fixed: slicer.vtkMRMLScalarVolumeNode,
    ) -> None:
        if self._field is not None and self._field is not result.transform and self._field.GetScene():
            show_field(self._field, FieldView.OFF)
        self._field = result.transform
        show_field(result.transform, parameters.fieldView.view, fixed)

    def _show_layers(
        self,
        parameters: SACBRegistrationParameterNode,
        result: RegistrationNodes,
        fixed: slicer.vtkMRMLScalarVolumeNode,
    ) -> None:
        comparison = parameters.comparison if result.warped is not None else Comparison.FIXED
        background, foreground, opacity = fixed, None, parameters.overlayOpacity
        if parameters.fieldView.is_volume:
            comparison = Comparison.FIXED
            shown = {FieldShown.MAGNITUDE: result.magnitude, FieldShown.JACOBIAN: result.jacobian}
            foreground = shown[parameters.fieldView]
        elif comparison in (Comparison.OVERLAY, Comparison.BLINK):
            foreground = result.warped
        if comparison is Comparison.CHECKERBOARD:
            background = self._board(fixed, result.warped)
        else:
            self._remove_board()
        if comparison is not Comparison.SIDE_BY_SIDE:
            self._side_by_side.leave(self._scene)
        if comparison is Comparison.BLINK:
            opacity = float(self._warped_seen)
            self._blink.start()
        else:
            self._blink.stop()
        label = result.clusterMaps.get((parameters.clusterLevel.value, parameters.clusterRole.value))
        show_volumes(self._scene, background, foreground, label, opacity, parameters.clusterOpacity)
        if comparison is Comparison.SIDE_BY_SIDE:
            self._side_by_side.show(self._scene, fixed, result.warped)

    def _swap(self) -> None:
        self._warped_seen = not self._warped_seen
        composites = self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        for number in range(composites.GetNumberOfItems()):
            composites.GetItemAsObject(number).SetForegroundOpacity(float(self._warped_seen))

    def _board(
        self, fixed: slicer.vtkMRMLScalarVolumeNode, warped: slicer.vtkMRMLScalarVolumeNode
    ) -> slicer.vtkMRMLScalarVolumeNode:
        node = self._scene.GetSingletonNode(_BOARD, "vtkMRMLScalarVolumeNode")
        if node is None:
            node = slicer.vtkMRMLScalarVolumeNode()
            node.SetSingletonTag(_BOARD)
            node.SetName("Checkerboard of fixed and warped volume")
            node.SetHideFromEditors(True)
            node.SetSaveWithScene(False)
            node = self._scene.AddNode(node)
            self._board_key = ()
        key = (fixed.GetID(), warped.GetID())
        if key != self._board_key:
            checkerboard(fixed, warped, node, SQUARES)
            self._board_key = key
        return node

    def _remove_board(self) -> None:
        node = self._scene.GetSingletonNode(_BOARD, "vtkMRMLScalarVolumeNode")
        if node is not None:
            display = node.GetDisplayNode()
            self._scene.RemoveNode(node)
            if display is not None:
                self._scene.RemoveNode(display)


def missing(parameters: SACBRegistrationParameterNode) -> str | None:
    """Returns why a choice of the results shows nothing, in one sentence, or None."""
    result = result_of(parameters.resultTransform)
    if result is None:
        return None
    if parameters.fieldView is FieldShown.MAGNITUDE and result.magnitude is None:
        return "The displacement length was not made; tick it under Outputs and press Apply."
    if parameters.fieldView is FieldShown.JACOBIAN and result.jacobian is None:
        return "The volume change was not made; tick it under Outputs and press Apply."
    if parameters.clusterLevel is not ClusterLevel.OFF and not result.clusterMaps:
        return "There are no cluster maps: they were not asked for, or no network ran."
    if parameters.comparison is not Comparison.FIXED and result.warped is None:
        return "There is no warped volume to compare with; tick it under Outputs and press Apply."
    return None


def _choices(
    parameters: SACBRegistrationParameterNode,
    result: RegistrationNodes,
    fixed: slicer.vtkMRMLScalarVolumeNode,
) -> tuple:
    ids = [
        None if node is None else node.GetID()
        for node in (result.warped, result.magnitude, result.jacobian, *result.clusterMaps.values())
    ]
    return (
        result.transform.GetID(),
        fixed.GetID(),
        parameters.fieldView,
        parameters.comparison,
        parameters.overlayOpacity,
        parameters.clusterLevel,
        parameters.clusterRole,
        parameters.clusterOpacity,
        *ids,
    )
