"""The test host offers only what Slicer has: compared with names and types read from its sources."""

import ast
import inspect
import json

import pytest
from shared_data import require_shared

pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")
pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")


@pytest.fixture(scope="module")
def widgets() -> dict:
    return json.loads(require_shared("slicer-api/widgets.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def modules() -> dict:
    """Names and signatures of the release that users run."""
    facts = json.loads(require_shared("slicer-api/util.json").read_text(encoding="utf-8"))
    for place, released in facts["changes_since_release"]["was"].items():
        module, name = place.rsplit(".", 1)
        functions = facts["modules"][module]["functions"]
        functions[[item["name"] for item in functions].index(name)] = released
    return facts["modules"]


def stand_ins() -> dict[str, type]:
    from host import application, layout, module_manager, scene_files
    from host.catalogue import all_stand_ins
    from host.pythonqt.members import StandIn

    others = {
        name: value
        for part in (application, layout, module_manager, scene_files)
        for name, value in vars(part).items()
        if isinstance(value, type) and issubclass(value, StandIn) and value is not StandIn
    }
    return {**all_stand_ins(), **others}


def ancestors(classes: dict, name: str) -> set[str]:
    found = set()
    for base in classes.get(name, {}).get("bases", ()):
        found |= {base} | ancestors(classes, base)
    return found


def with_ancestors(classes: dict, name: str) -> list[dict]:
    """What is known of a class and its bases, the class itself last."""
    return [classes[item] for item in [*ancestors(classes, name), name] if item in classes]


def callable_signatures(classes: dict, name: str) -> set[str]:
    kinds = ("slots", "invokables", "decorators")
    members = [
        member for cls in with_ancestors(classes, name) for kind in kinds for member in cls.get(kind) or ()
    ]
    return {signature for member in members for signature in member["signatures"]}


def test_a_class_is_where_slicer_has_it(host, widgets):
    for name, cls in stand_ins().items():
        facts = widgets["classes"][name]
        assert facts["python"] == f"{cls.python_module}.{name}"
        if facts["constructor"] is None and not any(
            "static" in item for item in facts.get("decorators") or ()
        ):
            assert not cls.creatable, f"Slicer's Python cannot make a {name}"


def test_bases_are_slicers(host, widgets):
    from host.pythonqt.lookup import is_qt_class
    from host.pythonqt.members import StandIn

    for name, cls in stand_ins().items():
        for base in cls.__mro__[1:]:
            if issubclass(base, StandIn) and base is not StandIn:
                assert base.__name__ in ancestors(widgets["classes"], name), f"{name} is no {base.__name__}"
        qt_base = next(base.__name__ for base in cls.__mro__ if is_qt_class(base))
        assert qt_base in ancestors(widgets["classes"], name), f"{name} is no {qt_base}"


KINDS = {"bool": {bool}, "int": {int}, "double": {float}, "QString": {str}, "QStringList": {tuple}}


def test_properties_are_slicers(host, widgets):
    for name, cls in stand_ins().items():
        known = {
            item["name"]: item
            for base in with_ancestors(widgets["classes"], name)
            for item in base["properties"]
        }
        for key, found in cls.host_facts.properties.items():
            assert key in known, f"{name} has no property {key}"
            assert found.kind in KINDS.get(known[key]["type"], {int, object}), (name, key, known[key]["type"])
            if found.set_value is not None:
                assert known[key]["writable"], f"{name}.{key} is read-only"


def test_signals_slots_and_enums_are_slicers(host, widgets):
    added = set(widgets["changes_since_release"]["added"])
    for name, cls in stand_ins().items():
        bases = with_ancestors(widgets["classes"], name)
        signals = {text for base in bases for item in base["signals"] for text in item["signatures"]}
        enums = {item["name"]: item["values"] for base in bases for item in base["enums"]}
        for key, found in cls.host_facts.signals.items():
            assert set(found.signatures) <= signals, (name, found.signatures)
            assert all(text.split("(")[0] == key for text in found.signatures)
        for key, signatures in cls.host_facts.methods.items():
            assert set(signatures) <= callable_signatures(widgets["classes"], name), (name, signatures)
            assert all(text.split("(")[0] == key for text in signatures)
            assert not {f"{name}.{text}" for text in signatures} & added, "users' Slicer is older"
        for key, values in cls.host_facts.enums.items():
            assert values == enums[key], (name, key)


def test_plain_cpp_methods_are_out_of_reach(host, widgets):
    from host.pythonqt.proxy import proxy_class

    tried = 0
    for name, cls in stand_ins().items():
        if not cls.creatable or "Window" in name:
            continue
        widget = proxy_class(cls)()
        bases = with_ancestors(widgets["classes"], name)
        shown = {item["name"] for base in bases for item in base["properties"]}
        shown |= {text.split("(")[0] for text in callable_signatures(widgets["classes"], name)}
        from_qt = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6."))
        for method in set(widgets["classes"][name]["cpp_only"]) - shown:
            if hasattr(from_qt, method):
                continue
            with pytest.raises(AttributeError):
                getattr(widget, method)
            tried += 1
    assert tried > 100


def shape(signature: inspect.Signature) -> list[tuple]:
    return [
        (item.name, item.kind, None if item.default is item.empty else repr(item.default))
        for item in signature.parameters.values()
    ]


def written_shape(text: str) -> list[tuple]:
    arguments = ast.parse(f"def f{text}: pass").body[0].args
    kinds = inspect.Parameter
    plain = arguments.args
    missing = len(plain) - len(arguments.defaults)
    defaults = [None] * missing + [ast.unparse(item) for item in arguments.defaults]
    found = [
        (item.arg, kinds.POSITIONAL_OR_KEYWORD, value) for item, value in zip(plain, defaults, strict=True)
    ]
    if arguments.vararg:
        found.append((arguments.vararg.arg, kinds.VAR_POSITIONAL, None))
    for item, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((item.arg, kinds.KEYWORD_ONLY, value and ast.unparse(value)))
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, kinds.VAR_KEYWORD, None))
    return found


def test_replaced_functions_keep_slicers_signatures(host, modules):
    import slicer

    written = {item["name"]: item["signature"] for item in modules["slicer.util"]["functions"]}
    for name in ("loadUI", "messageBox", "delayDisplay"):
        assert shape(inspect.signature(getattr(slicer.util, name))) == written_shape(written[name]), name


OURS = (
    "slicer.ScriptedLoadableModule",
    "slicer.i18n",
    "slicer.packaging",
    "slicer.testing",
    *(
        f"slicer.parameterNodeWrapper.{part}"
        for part in ("default", "guiConnectors", "serializers", "types", "util", "validators", "wrapper")
    ),
)
# What the host needs and Slicer keeps elsewhere.
HELPERS = {"SimpleConnector", "TextSerializer", "FloatRangeSerializer"}


@pytest.mark.parametrize("name", OURS)
def test_our_modules_have_slicers_names_and_signatures(host, modules, name):
    module = __import__(name, fromlist=["x"])
    functions = {item["name"]: item["signature"] for item in modules[name]["functions"]}
    classes = modules[name]["classes"]
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name or key in HELPERS:
            continue
        if inspect.isfunction(value):
            assert shape(inspect.signature(value)) == written_shape(functions[key]), key
        elif inspect.isclass(value):
            methods = {item["name"]: item["signature"] for item in classes[key]["methods"]}
            for method, function in vars(value).items():
                if method in methods and inspect.isfunction(function) and method != "__init__":
                    assert shape(inspect.signature(function)) == written_shape(methods[method]), (key, method)
                elif inspect.isfunction(function) and not method.startswith("_"):
                    assert method in methods or classes[key]["bases"] != [], (key, method)


def test_exports_are_slicers(host, modules):
    import slicer.parameterNodeWrapper as ours

    assert set(ours.__all__) <= set(modules["slicer.parameterNodeWrapper"]["exports"])
    assert all(hasattr(ours, name) for name in ours.__all__)
