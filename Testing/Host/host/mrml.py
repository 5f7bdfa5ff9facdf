"""The scene of the host: Slicer's real MRML, set up as the application does it."""

from pathlib import Path
from typing import Any

import slicer
import vtk

LOGICS = {
    "volumes": "vtkSlicerVolumesLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "transforms": "vtkSlicerTransformLogic",
    "colors": "vtkSlicerColorLogic",
    "tables": "vtkSlicerTablesLogic",
    "units": "vtkSlicerUnitsLogic",
    "texts": "vtkSlicerTextsLogic",
    "plots": "vtkSlicerPlotsLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}
CONVENTIONAL_LAYOUT = 2


class SlicerMrml:
    """Scene and logics, alive as long as the application.

    Attributes:
        scene: The vtkMRMLScene.
        application_logic: The vtkSlicerApplicationLogic.
        layout_logic: The vtkMRMLLayoutLogic.
        logics: Module name in lower case to the module's logic.
        slice_logics: A vtkCollection with one vtkMRMLSliceLogic for each slice view.
    """

    def __init__(self, home: str) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetHomeDirectory(home)
        self.application_logic.SetShareDirectory("share")
        # Logics look for their files there and complain about missing folders.
        Path(home, "share", "ColorFiles").mkdir(parents=True, exist_ok=True)
        self.application_logic.SetMRMLScene(self.scene)
        self._prepare_bundles(Path(home, "cache"))
        self.layout_logic = slicer.vtkMRMLLayoutLogic()
        self.layout_logic.SetMRMLApplicationLogic(self.application_logic)
        self.layout_logic.SetMRMLScene(self.scene)
        self.logics = {name: self._logic(kind) for name, kind in LOGICS.items()}
        self.application_logic.SetColorLogic(self.logics["colors"])
        self.slice_logics = self._slice_logics()
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        self.layout_logic.GetLayoutNode().SetViewArrangement(CONVENTIONAL_LAYOUT)
        self._own = {node.GetID() for node in self._nodes()}

    def _nodes(self) -> list:
        return [self.scene.GetNthNode(index) for index in range(self.scene.GetNumberOfNodes())]

    def clear(self) -> None:
        """Leaves the nodes the application made: closing a scene keeps the singletons that modules made."""
        self.scene.Clear(0)
        for node in self._nodes():
            if node.IsA("vtkMRMLScriptedModuleNode") and node.GetID() not in self._own:
                self.scene.RemoveNode(node)
        self.layout_logic.GetLayoutNode().SetViewArrangement(CONVENTIONAL_LAYOUT)

    def _prepare_bundles(self, cache: Path) -> None:
        """Gives the scene a folder to unpack .mrb files in."""
        cache.mkdir(exist_ok=True)
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self._remote_io.SetMRMLScene(self.scene)
        self._remote_io.AddDataIOToScene()

    def _logic(self, kind: str) -> Any:
        logic = getattr(slicer, kind)()
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        return logic

    def _slice_logics(self) -> Any:
        logics = vtk.vtkCollection()
        for index in range(self.scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = self.scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self.application_logic)
            logic.SetMRMLScene(self.scene)
            logic.SetSliceNode(node)
            logics.AddItem(logic)
        self.application_logic.SetSliceLogics(logics)
        return logics

    def slice_logic(self, view: str) -> Any:
        """The logic of the slice view of this name; None: there is no such view."""
        return self.application_logic.GetSliceLogicByLayoutName(view)
