"""Stand-ins for Slicer's plain containers, its main window and module panel."""

from typing import Any

from PySide6 import QtWidgets

from host.pythonqt.members import StandIn, host_property, host_signal, slot


class qMRMLWidget(StandIn, QtWidgets.QWidget):
    """A widget that knows the scene and tells when it changes."""

    mrmlSceneChanged = host_signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._scene: Any = None

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._scene


class qSlicerWidget(StandIn, QtWidgets.QWidget):
    """A widget that knows the scene; base of module widgets."""

    mrmlSceneChanged = host_signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._scene: Any = None

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qSlicerAbstractModuleWidget(qSlicerWidget):
    """Base of module widgets."""

    creatable = False

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._entered = False

    @host_property(bool)
    def isEntered(self) -> bool:
        return self._entered

    @slot("enter()")
    def enter(self) -> None:
        self._entered = True

    @slot("exit()")
    def exit(self) -> None:
        self._entered = False


class qSlicerScriptedLoadableModuleWidget(qSlicerAbstractModuleWidget):
    """What a scripted module's Python widget class lives in."""

    creatable = True

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.module_name = ""
        self.python_widget: Any = None
        self.make_python_widget: Any = None

    @host_property(str)
    def moduleName(self) -> str:
        return self.module_name

    @slot("self()")
    def self(self) -> Any:
        return self.python_widget

    @slot("reload()")
    def reload(self) -> None:
        self.make_python_widget(self)

    @slot("enter()")
    def enter(self) -> None:
        super().enter()
        if hasattr(self.python_widget, "enter"):
            self.python_widget.enter()

    @slot("exit()")
    def exit(self) -> None:
        if hasattr(self.python_widget, "exit"):
            self.python_widget.exit()
        super().exit()


class qSlicerModuleSelectorToolBar(StandIn, QtWidgets.QToolBar):
    """The tool bar with the list of modules."""

    moduleSelected = host_signal("moduleSelected(QString)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._selected = ""
        self.box = QtWidgets.QComboBox(self)
        self.box.setMinimumWidth(220)
        self.addWidget(QtWidgets.QLabel("Modules: "))
        self.addWidget(self.box)

    @host_property(str)
    def selectedModule(self) -> str:
        return self._selected

    @selectedModule.setter
    def selectedModule(self, value: str) -> None:
        self.selectModule(value)

    @slot("selectModule(QString)")
    def selectModule(self, name: str) -> None:
        self._selected = name
        self.moduleSelected.emit(name)


class qSlicerMainWindow(StandIn, QtWidgets.QMainWindow):
    """The main window: the selected module's panel at the left, an empty place for the views."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (test host)")
        self._selector = qSlicerModuleSelectorToolBar("Module selection", self)
        self.addToolBar(self._selector)
        self.panel_area = QtWidgets.QScrollArea(self)
        self.panel_area.setWidgetResizable(True)
        self.panel_area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        splitter = QtWidgets.QSplitter(self)
        views = QtWidgets.QFrame(splitter)
        views.setStyleSheet("background-color: #757595;")
        splitter.addWidget(self.panel_area)
        splitter.addWidget(views)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([500, 700])
        self.setCentralWidget(splitter)
        self.statusBar()
        self.resize(1200, 900)

    @slot("moduleSelector()")
    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector
