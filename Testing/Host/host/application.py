"""Stand-in for slicer.app."""

import os
import platform
from typing import Any

from PySide6 import QtCore, QtWidgets

from host.layout import qSlicerLayoutManager
from host.module_manager import qSlicerModuleManager
from host.mrml import SlicerMrml
from host.pythonqt.members import StandIn, host_property, host_signal, slot
from host.scene_files import qSlicerCoreIOManager


class qSlicerCoreApplication(StandIn, QtWidgets.QApplication):
    """What the application offers without a window."""

    creatable = False
    mrmlSceneChanged = host_signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, home: str) -> None:
        super().__init__(["SlicerTestHost"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("SlicerTestHost")
        self.setApplicationVersion("5.12.4")
        self.home = home
        self.testing = False
        self.mrml = SlicerMrml(home)
        self._files = qSlicerCoreIOManager(self.mrml.scene, self)
        self._modules = qSlicerModuleManager(self)
        self._settings = QtCore.QSettings(os.path.join(home, "Slicer.ini"), QtCore.QSettings.Format.IniFormat)

    @host_property(str)
    def slicerHome(self) -> str:
        return self.home

    @host_property(str)
    def temporaryPath(self) -> str:
        return self.home

    @temporaryPath.setter
    def temporaryPath(self, value: str) -> None:
        self.home = value

    @host_property(str)
    def revision(self) -> str:
        return "0"

    @host_property(int)
    def majorVersion(self) -> int:
        return 5

    @host_property(int)
    def minorVersion(self) -> int:
        return 12

    @host_property(str)
    def os(self) -> str:
        return {"Linux": "linux", "Darwin": "macosx", "Windows": "win"}[platform.system()]

    @host_property(str)
    def arch(self) -> str:
        return "amd64"

    @host_property(bool)
    def isInstalled(self) -> bool:
        return True

    @slot("testingEnabled()")
    def testingEnabled(self) -> bool:
        return self.testing

    @slot("processEvents()")
    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self.mrml.scene

    @slot("applicationLogic()")
    def applicationLogic(self) -> Any:
        return self.mrml.application_logic

    @slot("moduleLogic(QString)")
    def moduleLogic(self, name: str) -> Any:
        return self.mrml.logics.get(name.lower())

    @slot("moduleManager()")
    def moduleManager(self) -> qSlicerModuleManager:
        return self._modules

    @slot("coreIOManager()")
    def coreIOManager(self) -> qSlicerCoreIOManager:
        return self._files

    @slot("settings()")
    def settings(self) -> QtCore.QSettings:
        return self._settings

    @slot("userSettings()")
    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    @slot("revisionUserSettings()")
    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    @slot("startupEnvironment()")
    def startupEnvironment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    @slot("setRenderPaused(bool)")
    def setRenderPaused(self, value: bool) -> None:
        """The host draws no views."""

    @slot("pauseRender()")
    def pauseRender(self) -> None:
        """The host draws no views."""

    @slot("resumeRender()")
    def resumeRender(self) -> None:
        """The host draws no views."""


class qSlicerApplication(qSlicerCoreApplication):
    """slicer.app itself."""

    creatable = False
    startupCompleted = host_signal("startupCompleted()")

    def __init__(self, home: str) -> None:
        super().__init__(home)
        self._layouts = qSlicerLayoutManager(self.mrml, self)

    @slot("layoutManager()")
    def layoutManager(self) -> qSlicerLayoutManager:
        return self._layouts

    @slot("ioManager()")
    def ioManager(self) -> qSlicerCoreIOManager:
        return self._files
