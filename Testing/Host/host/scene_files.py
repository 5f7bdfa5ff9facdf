"""Stand-in for Slicer's input and output manager: scenes, and nodes that slicer-core can store."""

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from host.pythonqt.members import StandIn, slot

# File type to the class of the node that holds such a file.
NODE_CLASSES = {
    "VolumeFile": "vtkMRMLScalarVolumeNode",
    "TransformFile": "vtkMRMLTransformNode",
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "ModelFile": "vtkMRMLModelNode",
    "TableFile": "vtkMRMLTableNode",
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
}
ENDINGS = {
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".nrrd": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".nii": "VolumeFile",
    ".mha": "VolumeFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".tsv": "TableFile",
    ".csv": "TableFile",
    ".mrk.json": "MarkupsFile",
}


class qSlicerCoreIOManager(StandIn, QtCore.QObject):
    """Loads and saves scenes and single nodes."""

    creatable = False

    def __init__(self, scene: Any, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._scene = scene

    @slot("fileType(QString)")
    def fileType(self, name: str) -> str:
        return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), "NoFile")

    @slot("fileWriterFileType(vtkObject*)", "fileWriterFileType(vtkObject*,QString)")
    def fileWriterFileType(self, node: Any, name: str = "") -> str:
        return next((kind for kind, node_class in NODE_CLASSES.items() if node.IsA(node_class)), "NoFile")

    @slot(
        "loadNodes(qSlicerIO::IOFileType,qSlicerIO::IOProperties)",
        "loadNodes(qSlicerIO::IOFileType,qSlicerIO::IOProperties,vtkCollection*)",
        "loadNodes(qSlicerIO::IOFileType,qSlicerIO::IOProperties,vtkCollection*,vtkMRMLMessageCollection*)",
    )
    def loadNodes(self, kind: str, properties: dict, loaded: Any = None, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self.loadScene(path, properties.get("clear", False), messages)
        node = self._loaded(kind, path, properties)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    @slot(
        "loadScene(QString)", "loadScene(QString,bool)", "loadScene(QString,bool,vtkMRMLMessageCollection*)"
    )
    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        if path.lower().endswith(".mrb"):
            return bool(self._scene.ReadFromMRB(path, clear, messages))
        self._scene.SetURL(path)
        return bool(self._scene.Connect(messages) if clear else self._scene.Import(messages))

    @slot(
        "saveNodes(qSlicerIO::IOFileType,qSlicerIO::IOProperties)",
        "saveNodes(qSlicerIO::IOFileType,qSlicerIO::IOProperties,vtkMRMLMessageCollection*)",
    )
    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self._saved_scene(path, messages)
        node = self._scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))

    def _saved_scene(self, path: str, messages: Any) -> bool:
        if path.lower().endswith(".mrb"):
            return bool(self._scene.WriteToMRB(path, None, messages))
        if path.lower().endswith(".mrml"):
            self._scene.SetRootDirectory(str(Path(path).parent))
            return bool(self._scene.Commit(path, messages))
        Path(path).mkdir(parents=True, exist_ok=True)
        return bool(slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(path, None))

    def _loaded(self, kind: str, path: str, properties: dict) -> Any:
        if kind == "VolumeFile":
            logic = slicer.modules.volumes.logic()
            label = 1 if properties.get("labelmap") else 0
            return logic.AddArchetypeVolume(path, properties.get("name") or _stem(path), label)
        if kind == "TransformFile":
            return slicer.modules.transforms.logic().AddTransform(path, self._scene)
        if kind not in NODE_CLASSES:
            return None
        node = self._scene.AddNewNodeByClass(NODE_CLASSES[kind], properties.get("name") or _stem(path))
        node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if storage.ReadData(node):
            return node
        self._scene.RemoveNode(storage)
        self._scene.RemoveNode(node)
        return None


def _stem(path: str) -> str:
    name = Path(path).name
    return next((name[: -len(ending)] for ending in ENDINGS if name.lower().endswith(ending)), name)
