"""Two slice views beside each other, the fixed volume in one and the warped volume in the other."""

import slicer

_LEFT, _RIGHT = "Red", "Yellow"


class SideBySide:
    """Turns the view on and gives back what was there before; needs no Qt, as layouts are nodes."""

    def __init__(self) -> None:
        self._before: dict[str, object] | None = None

    def show(
        self,
        scene: slicer.vtkMRMLScene,
        fixed: slicer.vtkMRMLVolumeNode,
        warped: slicer.vtkMRMLVolumeNode,
    ) -> None:
        """Shows the volumes in two views with the same plane.

        Args:
            scene: The scene.
            fixed: On the left.
            warped: On the right.
        """
        layout = _layout(scene)
        left, right = (_slice_node(scene, name) for name in (_LEFT, _RIGHT))
        if self._before is None:
            self._before = {
                "layout": None if layout is None else layout.GetViewArrangement(),
                "orientation": None if right is None else right.GetOrientation(),
                "linked": [composite.GetLinkedControl() for composite in _composites(scene)],
                "hot": [composite.GetHotLinkedControl() for composite in _composites(scene)],
            }
        if layout is not None:
            layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        if left is not None and right is not None:
            right.SetOrientation(left.GetOrientation())
            right.SetSliceOffset(left.GetSliceOffset())
            right.SetFieldOfView(*left.GetFieldOfView())
        for composite in _composites(scene):
            volume = warped if composite.GetLayoutName() == _RIGHT else fixed
            composite.SetBackgroundVolumeID(volume.GetID())
            composite.SetForegroundVolumeID(None)
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)

    def leave(self, scene: slicer.vtkMRMLScene) -> None:
        """Gives the former layout back; does nothing when it was not shown."""
        if self._before is None:
            return
        before, self._before = self._before, None
        layout, right = _layout(scene), _slice_node(scene, _RIGHT)
        if layout is not None:
            arrangement = before["layout"]
            if arrangement == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView:
                arrangement = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            layout.SetViewArrangement(arrangement)
        if right is not None and before["orientation"] is not None:
            right.SetOrientation(before["orientation"])
        for composite, linked, hot in zip(_composites(scene), before["linked"], before["hot"], strict=False):
            composite.SetLinkedControl(linked)
            composite.SetHotLinkedControl(hot)

    def forget(self) -> None:
        """Forgets what was there before, as when the scene was closed."""
        self._before = None


def _layout(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLLayoutNode | None:
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _slice_node(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLSliceNode | None:
    return next((node for node in _all(scene, "vtkMRMLSliceNode") if node.GetLayoutName() == name), None)


def _composites(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    return _all(scene, "vtkMRMLSliceCompositeNode")


def _all(scene: slicer.vtkMRMLScene, class_name: str) -> list:
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]
