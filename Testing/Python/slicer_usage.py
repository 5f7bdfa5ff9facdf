"""Finds in source text what of Slicer's API is used wrongly; names what is unknown."""

import ast

from slicer_api import EVERYWHERE, OBJECTS, SlicerApi

MODULES = ("slicer.util", "slicer.parameterNodeWrapper", "slicer.ScriptedLoadableModule", "slicer.i18n")


class Usage(ast.NodeVisitor):
    """Collects complaints about one file.

    Classes are inferred for `ui.<objectName>` from the .ui file, for objects of `OBJECTS`, and for local
    names that are given such an object or a new one.

    Args:
        api: The facts.
        widgets: Object name to class.
        qt_has: Whether a Qt class has a member, by (class, member).
    """

    def __init__(self, api: SlicerApi, widgets: dict[str, str], qt_has) -> None:
        self.api, self.widgets, self.qt_has = api, widgets, qt_has
        self.complaints: list[str] = []
        self.seen: set[str] = set()
        self._locals: dict[str, str] = {}
        self._calls: set[int] = set()
        self._stores: set[int] = set()

    def complain(self, node: ast.AST, text: str) -> None:
        self.complaints.append(f"line {node.lineno}: {text}")

    def class_of(self, node: ast.AST) -> str | None:
        text = ast.unparse(node)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "ui":
            return self.widgets.get(node.attr)
        if text in OBJECTS:
            return OBJECTS[text]
        if isinstance(node, ast.Name):
            return self._locals.get(node.id)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if ast.unparse(node.func).split(".")[0] in ("ctk", "slicer") and name in self.api.classes:
                return name
            if isinstance(node.func, ast.Attribute):
                owner = self.class_of(node.func.value)
                return self._returned(owner, node.func.attr) if owner else None
        return None

    def _returned(self, owner: str, method: str) -> str | None:
        for cls in self.api.lineage(owner):
            facts = self.api.classes.get(cls, {})
            for kind in ("slots", "invokables", "decorators"):
                for member in facts.get(kind, []):
                    if member["name"] == method:
                        name = member["returns"].rstrip("*& ")
                        return name if name in self.api.classes else None
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module in MODULES:
            for alias in node.names:
                self.seen.add(f"{node.module}.{alias.name}")
                if alias.name not in self.api.public_names(node.module):
                    self.complain(node, f"{node.module} has no {alias.name}")

    def visit_Assign(self, node: ast.Assign) -> None:
        found = self.class_of(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and found:
                self._locals[target.id] = found
            if isinstance(target, ast.Attribute):
                self._stores.add(id(target))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._calls.add(id(node.func))
        if isinstance(node.func, ast.Attribute):
            self._check_function(node)
            if node.func.attr in ("connect", "disconnect"):
                self._check_connect(node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = ast.unparse(node.value)
        if owner == "self.ui" or owner == "ui" or owner.endswith(".ui"):
            self.seen.add(f"ui.{node.attr}")
            if node.attr not in self.widgets:
                self.complain(node, f"the .ui file has no object {node.attr}")
        elif owner == "slicer.util":
            self.seen.add(f"slicer.util.{node.attr}")
            if node.attr not in self.api.public_names("slicer.util"):
                self.complain(node, f"slicer.util has no {node.attr}")
        elif owner in ("ctk", "slicer") and node.attr.startswith(("ctk", "qMRML", "qSlicer")):
            if node.attr not in self.api.classes:
                self.complain(node, f"{owner} has no class {node.attr}")
        else:
            cls = self.class_of(node.value)
            if cls is not None:
                self._check_member(node, cls)
        self.generic_visit(node)

    def _check_member(self, node: ast.Attribute, cls: str) -> None:
        name, called, written = node.attr, id(node) in self._calls, id(node) in self._stores
        if cls not in self.api.classes:
            if not self.qt_has(cls, name) and name not in EVERYWHERE:
                self.complain(node, f"{cls} has no {name}")
            return
        self.seen.add(f"{cls}.{name}")
        properties, callables = self.api.properties(cls), self.api.callables(cls)
        if name in properties:
            if called:
                self.complain(node, f"{cls}.{name} is a property and cannot be called")
            if written and not properties[name]:
                self.complain(node, f"{cls}.{name} cannot be written")
        elif name in callables or name in self.api.enum_keys(cls) or name in EVERYWHERE:
            if written:
                self.complain(node, f"{cls}.{name} is no property")
        elif not self.qt_has(self.api.ends_in_qt(cls), name):
            how = "is not reachable from Python" if name in self.api.only_in_cpp(cls) else "is unknown"
            self.complain(node, f"{cls}.{name} {how}")

    def _check_connect(self, node: ast.Call) -> None:
        cls = self.class_of(node.func.value)
        first = node.args[0] if node.args else None
        if cls is None or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return
        signal = first.value
        self.seen.add(f"{cls}: {signal}")
        known = self.api.signatures(cls, "signals")
        base = cls if cls not in self.api.classes else self.api.ends_in_qt(cls)
        if signal not in known and not self.qt_has(base, signal):
            self.complain(node, f"{cls} has no signal {signal}")

    def _check_function(self, node: ast.Call) -> None:
        if ast.unparse(node.func.value) != "slicer.util":
            return
        allowed = self.api.parameters("slicer.util", node.func.attr)
        for keyword in node.keywords if allowed is not None else ():
            if keyword.arg is not None and keyword.arg not in allowed:
                self.complain(node, f"slicer.util.{node.func.attr} takes no {keyword.arg}")


def complaints_about(source: str, api: SlicerApi, widgets: dict[str, str], qt_has) -> Usage:
    """Returns the visitor of a file, with its complaints and what it recognised."""
    usage = Usage(api, widgets, qt_has)
    usage.visit(ast.parse(source))
    return usage
