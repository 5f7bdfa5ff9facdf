"""What Slicer's classes and functions offer to Python, read from the shared list of facts."""

import json
import re
import xml.etree.ElementTree as ElementTree
from functools import cached_property
from pathlib import Path

# What PythonQt adds to every object.
EVERYWHERE = {"connect", "disconnect", "className", "inherits", "delete", "name", "objectName"}
# Names that Slicer's own modules give to C++ objects, in the way of slicer.app.
OBJECTS = {"slicer.app": "qSlicerApplication"}


class SlicerApi:
    """Members by class with those of the bases, without what the release that people run lacks.

    Args:
        folder: Holds widgets.json and util.json.
    """

    def __init__(self, folder: Path) -> None:
        widgets = json.loads((folder / "widgets.json").read_text(encoding="utf-8"))
        utilities = json.loads((folder / "util.json").read_text(encoding="utf-8"))
        self.classes = widgets["classes"]
        self.modules = utilities["modules"]
        self.added = {text.split("(")[0] for text in widgets["changes_since_release"]["added"]}
        self.added |= set(utilities["changes_since_release"]["added"])

    def lineage(self, name: str) -> list[str]:
        """A class and its bases; the last ones may be Qt's and so unknown."""
        found, queue = [], [name]
        while queue:
            current = queue.pop(0)
            if current not in found:
                found.append(current)
                queue += self.classes.get(current, {}).get("bases", [])
        return found

    def ends_in_qt(self, name: str) -> str:
        """The Qt class that a class builds on."""
        return next((base for base in self.lineage(name) if base not in self.classes), "QObject")

    def _members(self, name: str, *kinds: str) -> list[tuple[str, dict]]:
        return [
            (cls, member)
            for cls in self.lineage(name)
            for kind in kinds
            for member in self.classes.get(cls, {}).get(kind, [])
            if f"{cls}.{member['name']}" not in self.added
        ]

    def properties(self, name: str) -> dict[str, bool]:
        """Property to whether it can be written."""
        return {member["name"]: member["writable"] for _, member in self._members(name, "properties")}

    def signatures(self, name: str, *kinds: str) -> set[str]:
        return {text for _, member in self._members(name, *kinds) for text in member.get("signatures", [])}

    def callables(self, name: str) -> set[str]:
        kinds = ("signals", "slots", "invokables", "decorators")
        return {text.split("(")[0] for text in self.signatures(name, *kinds)}

    def only_in_cpp(self, name: str) -> set[str]:
        entries = [e for cls in self.lineage(name) for e in self.classes.get(cls, {}).get("cpp_only", [])]
        return {entry if isinstance(entry, str) else entry["name"] for entry in entries}

    def enum_keys(self, name: str) -> set[str]:
        return {key for _, enum in self._members(name, "enums") for key in enum["values"]}

    def public_names(self, module: str) -> set[str]:
        """Functions, classes and constants of one of Slicer's Python modules."""
        facts = self.modules[module]
        names = {function["name"] for function in facts["functions"]} | set(facts["classes"])
        names |= set(facts.get("constants", [])) | set(facts.get("exports") or {})
        return {name for name in names if f"{module}.{name}" not in self.added}

    def parameters(self, module: str, function: str) -> set[str] | None:
        """Names that a function can be called with; None when it takes any."""
        entry = next((f for f in self.modules[module]["functions"] if f["name"] == function), None)
        if entry is None or "**" in entry["signature"]:
            return None
        return set(re.findall(r"[(,]\s*(\w+)", entry["signature"]))

    def python_members(self, module: str, name: str) -> set[str]:
        """Methods and attributes of a Python class."""
        facts = self.modules[module]["classes"][name]
        names = {method["name"] for method in facts["methods"]} | set(facts["attributes_set_on_self"])
        return names | set(facts["fields"])


class UiFile:
    """A panel in Qt Designer's format."""

    def __init__(self, path: Path) -> None:
        self.root = ElementTree.parse(path).getroot()

    @cached_property
    def widgets(self) -> dict[str, ElementTree.Element]:
        return {widget.get("name"): widget for widget in self.root.iter("widget")}

    @cached_property
    def classes(self) -> dict[str, str]:
        """Object name to class."""
        return {name: widget.get("class") for name, widget in self.widgets.items()}

    def properties(self, name: str) -> dict[str, ElementTree.Element]:
        """Own properties of a widget, without the dynamic ones."""
        found = self.widgets[name].findall("property")
        return {prop.get("name"): prop for prop in found if prop.get("stdset") != "0"}

    def parameter(self, name: str) -> str | None:
        """The parameter that a widget is bound to."""
        for prop in self.widgets[name].findall("property"):
            if prop.get("name") == "SlicerParameterName":
                return prop.findtext("string")
        return None

    @cached_property
    def connections(self) -> list[tuple[str, str, str, str]]:
        parts = ("sender", "signal", "receiver", "slot")
        found = self.root.findall("connections/connection")
        return [tuple(connection.findtext(part) for part in parts) for connection in found]
