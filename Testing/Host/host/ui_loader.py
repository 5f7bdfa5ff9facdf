"""Loads Qt Designer files as Slicer does, and raises where Qt would print a line and go on."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NamedTuple

from PySide6 import QtCore, QtUiTools, QtWidgets

from host.catalogue import all_stand_ins
from host.pythonqt.lookup import find_member, qt5, qt_base, write_property
from host.pythonqt.signals import connect, normalized


class UiError(ValueError):
    """A Designer file names a class, property, signal or slot that Slicer does not have."""


class Setting(NamedTuple):
    """A property of a stand-in, set after Qt has built the widgets."""

    widget: str
    name: str
    value: Any


class _Loader(QtUiTools.QUiLoader):
    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        stand_in = all_stand_ins().get(class_name)
        if stand_in is None:
            return super().createWidget(class_name, parent, name)
        widget = stand_in(parent)
        widget.setObjectName(name)
        return widget


def _python_value(element: ElementTree.Element, owner: type) -> Any:
    """The value of a <property> for a stand-in."""
    child = element[0]
    text = child.text or ""
    if child.tag == "bool":
        return text == "true"
    if child.tag == "number":
        return int(text)
    if child.tag == "double":
        return float(text)
    if child.tag == "string":
        return text
    if child.tag == "stringlist":
        return tuple(item.text or "" for item in child)
    if child.tag in ("enum", "set"):
        return _enum_value(text, owner)
    raise UiError(f"the test host cannot read a property of kind <{child.tag}>")


def _enum_value(text: str, owner: type) -> int:
    value = 0
    for part in text.split("|"):
        names = part.split("::")
        known = [vars(base) for base in owner.__mro__ if issubclass(base, QtCore.QObject)]
        found = next((space[names[-1]] for space in known if isinstance(space.get(names[-1]), int)), None)
        if found is None:
            scope = getattr(QtCore, names[0], None) or getattr(QtWidgets, names[0], None)
            found = getattr(scope, names[-1], None)
            found = getattr(found, "value", found)
        if found is None:
            raise UiError(f"there is no enum value {part}")
        value |= found
    return value


def _native_class(class_name: str) -> type:
    found = getattr(QtWidgets, class_name, None)
    if found is None:
        raise UiError(f"the test host has no class {class_name}")
    return found


def _is_dynamic(element: ElementTree.Element) -> bool:
    return element.get("stdset") == "0"


def _check_widget(widget: ElementTree.Element) -> list[Setting]:
    """Takes the stand-in's own properties out of a <widget> and returns them; checks the others."""
    class_name, name = widget.get("class"), widget.get("name")
    stand_in = all_stand_ins().get(class_name)
    cls = stand_in or _native_class("QFrame" if class_name == "Line" else class_name)
    settings = []
    for element in list(widget.findall("property")):
        key = element.get("name")
        facts = [base.host_facts for base in cls.__mro__ if hasattr(base, "host_facts")] if stand_in else []
        own = next((fact.properties[key] for fact in facts if key in fact.properties), None)
        if own is not None:
            if own.set_value is None:
                raise UiError(f"{name}: property {key} of {class_name} is read-only")
            settings.append(Setting(name, key, _python_value(element, cls)))
            widget.remove(element)
        elif cls.staticMetaObject.indexOfProperty(key) >= 0 and not qt5.is_newer(cls, key):
            continue
        elif not _is_dynamic(element) and not (class_name == "Line" and key == "orientation"):
            raise UiError(f"{name}: {class_name} has no property {key} (a dynamic one needs stdset=0)")
    return settings


def _connect(form: QtWidgets.QWidget, connection: ElementTree.Element) -> None:
    sender, signal, receiver, slot = (
        connection.findtext(tag) or "" for tag in ("sender", "signal", "receiver", "slot")
    )
    ends = {item.objectName(): item for item in [form, *form.findChildren(QtCore.QObject)]}
    for end in (sender, receiver):
        if end not in ends:
            raise UiError(f"connection {sender}.{signal} -> {receiver}.{slot}: there is no {end}")
    target, slot = ends[receiver], normalized(slot)
    name, takes = slot.split("(")
    found = find_member(target, name)
    if found is None or found.kind not in ("method", "property", "signal"):
        raise UiError(f"{receiver} has no slot {slot}")
    declared = getattr(getattr(type(target), name, None), "host_signatures", None)
    known = slot in declared if declared else qt_base(type(target)).staticMetaObject.indexOfMethod(slot) >= 0
    if not known:
        raise UiError(f"{receiver} has no slot {slot}")
    call, count = getattr(target, name), 0 if takes == ")" else takes.count(",") + 1
    connect(ends[sender], signal, lambda *arguments: call(*arguments[:count]))


def load_ui(path: str | Path) -> QtWidgets.QWidget:
    """Builds the widgets of a Designer file.

    Raises:
        RuntimeError: The file is absent, as in Slicer.
        UiError: The file names something that Slicer does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise RuntimeError(f"Could not load UI file: file not found {path}")
    root = ElementTree.fromstring(path.read_bytes())
    settings = [setting for widget in root.iter("widget") for setting in _check_widget(widget)]
    connections = list(root.findall("connections/connection"))
    for element in root.findall("connections"):
        root.remove(element)
    data = QtCore.QBuffer()
    data.setData(ElementTree.tostring(root))
    data.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loader = _Loader()
    loader.setWorkingDirectory(QtCore.QDir(str(path.parent)))
    form = loader.load(data)
    if form is None:
        raise UiError(f"{path.name}: {loader.errorString()}")
    widgets = {item.objectName(): item for item in [form, *form.findChildren(QtWidgets.QWidget)]}
    for setting in settings:
        target = widgets[setting.widget]
        write_property(target, find_member(target, setting.name).value, setting.value)
    for connection in connections:
        _connect(form, connection)
    return form
