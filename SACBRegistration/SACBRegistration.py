"""The module SACB Registration of 3D Slicer; what it does lies in the package SACBRegistrationLib."""

import sys
from pathlib import Path

import qt
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# The library lies beside this file when installed, one folder up in the source tree. It comes first: Slicer's
# Python may hold another version of the package, or what an editable installation leaves of one.
_here = Path(__file__).resolve().parent
_home = str(_here if (_here / "SACBRegistrationLib").is_dir() else _here.parent)
if _home not in sys.path:
    sys.path.insert(0, _home)

from SACBRegistrationLib.mrml.logic import SACBRegistrationLogic as _Logic
from SACBRegistrationLib.resources import icon_file, ui_file
from SACBRegistrationLib.ui.panel import RegistrationPanel
from SACBRegistrationLib.ui.qt_process import QtProcess
from SACBRegistrationLib.ui.qt_scheduler import QtScheduler
from SACBRegistrationLib.ui.sample_data import register_sample_data
from SACBRegistrationLib.ui.self_test import SelfTest

DOCUMENTATION = "https://github.com/SACBRegistration/SlicerSACBRegistration/tree/main/docs"


class SACBRegistration(ScriptedLoadableModule):
    """What Slicer lists in its module menu."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = "SACB Registration"
        parent.categories = ["Registration"]
        parent.dependencies = []
        parent.contributors = ["SACBRegistration developers"]
        parent.helpText = (
            "Deforms one volume until its anatomy lies on that of another, with SACB-Net: a network that "
            "sorts the images into clusters of tissue and deforms each in its own way. "
            f'See the <a href="{DOCUMENTATION}">documentation</a>.'
        )
        parent.acknowledgementText = (
            "The network is that of X. Cheng et al., SACB-Net: Spatial-awareness Convolutions for Medical "
            "Image Registration, CVPR 2025. This module is an independent implementation. "
            "It is for research, not for clinical decisions."
        )
        parent.icon = qt.QIcon(str(icon_file("SACBRegistration.png")))
        slicer.app.connect("startupCompleted()", register_sample_data)


class SACBRegistrationLogic(ScriptedLoadableModuleLogic, _Logic):
    """The registration for Slicer's Python console: it runs beside the window, which stays alive."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self.isSingletonParameterNode = False
        self.scheduler = QtScheduler()
        _Logic.__init__(self, launch=QtProcess, scheduler=self.scheduler)


class SACBRegistrationWidget(ScriptedLoadableModuleWidget):
    """The module's widget; the panel does the work."""

    def __init__(self, parent=None) -> None:
        self.panel: RegistrationPanel | None = None
        super().__init__(parent)

    def setup(self) -> None:
        """Builds the panel."""
        super().setup()
        widget = slicer.util.loadUI(str(ui_file("SACBRegistration.ui")))
        self.layout.addWidget(widget)
        self.logic = SACBRegistrationLogic()
        self.panel = RegistrationPanel(widget, slicer.mrmlScene, self.logic, self.logic.scheduler)
        self.ui = self.panel.ui

    def enter(self) -> None:
        """The module is opened."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Another module is opened."""
        if self.panel is not None:
            self.panel.leave()

    def cleanup(self) -> None:
        """The module is reloaded, or Slicer closes."""
        if self.panel is not None:
            self.panel.close()
            self.logic.scheduler.stop()
            self.panel = None


class SACBRegistrationTest(ScriptedLoadableModuleTest, SelfTest):
    """Slicer's self-test of the module; its cases are in the package."""

    def runTest(self) -> None:
        """Runs every case in a fresh scene."""
        self.logic_class = SACBRegistrationLogic
        for case in self.cases():
            self.setUp()
            self.delayDisplay(f"SACB Registration: {case.__doc__}")
            case()
            self.tearDown()
        self.delayDisplay("SACB Registration: all tests passed")
