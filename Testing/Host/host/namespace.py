"""Fills the package slicer with what the application adds to it."""

import functools
import logging
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from host.catalogue import all_stand_ins
from host.dialogs import dialogs
from host.module_manager import CppModule, Modules, qSlicerScriptedLoadableModule
from host.pythonqt.enums import EnumValue
from host.pythonqt.proxy import proxy_class, wrap
from host.pythonqt.slot_errors import slot_errors
from host.ui_loader import load_ui

PACKAGE = Path(__file__).resolve().parents[1] / "slicer_package"


def fill(app: Any) -> None:
    """Adds app, mrmlScene, modules, widget classes and submodules; replaces what would show a dialog."""
    if str(PACKAGE) not in slicer.__path__:
        slicer.__path__.append(str(PACKAGE))
    slicer.app = wrap(app)
    slicer.mrmlScene = app.mrml.scene
    slicer.modules = Modules(**{name: CppModule(name, logic) for name, logic in app.mrml.logics.items()})
    slicer.selfTests = {}
    for name, cls in {
        **all_stand_ins(),
        "qSlicerScriptedLoadableModule": qSlicerScriptedLoadableModule,
    }.items():
        if cls.python_module == "slicer":
            setattr(slicer, name, proxy_class(cls))
    _replace_dialogs()
    sys.excepthook = functools.partial(_record_uncaught, sys.excepthook)


def _record_uncaught(before: Any, kind: type, error: BaseException, trace: Any) -> None:
    """VTK and Qt report errors of Python functions they called here."""
    try:
        raise error.with_traceback(trace)
    except Exception:
        slot_errors.record()
    except BaseException:
        before(kind, error, trace)


def _replace_dialogs() -> None:
    util = slicer.util

    def loadUI(path):
        return wrap(load_ui(path))

    def messageBox(text, parent=None, **kwargs):
        import qt

        buttons = kwargs.get("standardButtons", qt.QMessageBox.Ok)
        return _shown("messageBox", text, buttons, qt.QMessageBox.Ok, kwargs)

    def _messageDisplay(
        logLevel,
        text,
        testingReturnValue,
        mainWindowNeeded=False,
        parent=None,
        windowTitle=None,
        **kwargs,
    ):
        import qt

        logging.log(logLevel, text)
        question = testingReturnValue is not None
        kinds = {
            logging.INFO: "infoDisplay",
            logging.WARNING: "warningDisplay",
            logging.ERROR: "errorDisplay",
        }
        buttons = kwargs.get("standardButtons", qt.QMessageBox.Ok)
        asked = {qt.QMessageBox.Ok: "confirmOkCancelDisplay", qt.QMessageBox.Yes: "confirmYesNoDisplay"}
        kind = next(
            (name for button, name in asked.items() if int(buttons) & int(button)), "confirmRetryCloseDisplay"
        )
        return _shown(
            kind if question else kinds[logLevel], text, buttons, testingReturnValue, kwargs, question
        )

    def delayDisplay(message, autoCloseMsec=1000, parent=None, **kwargs):
        logging.info(message)
        dialogs.tell("delayDisplay", message)
        slicer.app.processEvents()

    for function in (loadUI, messageBox, _messageDisplay, delayDisplay):
        setattr(util, function.__name__, function)
        setattr(slicer, function.__name__, function)


def _shown(
    kind: str, text: str, buttons: Any, testing_value: Any, options: dict, question: bool | None = None
) -> Any:
    import qt

    if question is None:
        question = int(buttons) != int(qt.QMessageBox.Ok)
    if slicer.app.testingEnabled():
        dialogs.tell(kind, text, **options)
        return testing_value
    if not question:
        dialogs.tell(kind, text, **options)
        return None if kind != "messageBox" else qt.QMessageBox.Ok
    answer = dialogs.ask(kind, options.get("windowTitle", ""), text, **options)
    if not isinstance(answer, bool):
        return answer
    affirmative = (qt.QMessageBox.Ok, qt.QMessageBox.Yes, qt.QMessageBox.Retry)
    negative = (qt.QMessageBox.Cancel, qt.QMessageBox.No, qt.QMessageBox.Close)
    return next(button for button in (affirmative if answer else negative) if int(buttons) & int(button))


def application_is_alive() -> bool:
    """Whether there is a QApplication."""
    return QtCore.QCoreApplication.instance() is not None


__all__ = ["EnumValue", "application_is_alive", "fill"]
