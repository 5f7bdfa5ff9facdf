"""Rules of the source tree that a reader relies on, checked on the syntax trees."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest
from shared_data import REPOSITORY

LIBRARY = REPOSITORY / "SACBRegistrationLib"
FOLDERS = (LIBRARY, REPOSITORY / "SACBRegistration", REPOSITORY / "Testing")
SOURCES = [*sorted(path for folder in FOLDERS for path in folder.rglob("*.py")), REPOSITORY / "run.py"]
CORE = [path for path in SOURCES if path.is_relative_to(LIBRARY)]
MOST_LINES = 300

# What a part of the library may not import: it would turn the layers upside down.
ABOVE = ("worker", "mrml", "ui")
MEASURING = ("benchmark", "comparison", "study")
BELOW = {
    "imaging": ("network", "registration", "training", "evaluation", *MEASURING, "cli", "pictures", *ABOVE),
    "network": ("registration", "training", "evaluation", *MEASURING, "cli", "pictures", *ABOVE),
    "registration": ("training", *MEASURING, "cli", *ABOVE),
    "evaluation": ("registration", "training", "study", "cli", "pictures", *ABOVE),
    "training": ("study", "cli", "pictures", *ABOVE),
    "benchmark": ("training", "study", "cli", "pictures", *ABOVE),
    "comparison": ("training", "cli", "pictures", *ABOVE),
    "pictures": ("training", "study", "cli", *ABOVE),
    "cli": ABOVE,
    "worker": ("training", "cli", "pictures", "study", "mrml", "ui"),
    "study": ("training", "cli", "mrml", "ui"),
    "mrml": ("training", "cli", "ui"),
    "ui": ("training", "cli"),
}
SLICER = {"slicer", "vtk", "vtkmodules", "mrml"}
WIDGETS = {"qt", "ctk", "PythonQt"}
# What only these parts may import; Slicer offers VTK as the module vtk, so the parts of the wheel that is
# used without Slicer are no concern.
ALLOWED = {"mrml": {"slicer", "vtk"}, "ui": {"slicer", "vtk", "qt", "ctk"}}
# Slicer comes without torch: it lives in the worker's process, and in what that process runs.
TORCH_FREE = ("mrml", "ui")
WORKER_PROGRAM = {"execution", "volumes", "failures", "quality"}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@functools.cache
def calls(path: Path) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]


def is_silent(handler: ast.ExceptHandler) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in handler.body
    )


def test_rules_find_what_they_look_for():
    bad = ast.parse("try:\n    f()\nexcept ValueError:\n    ...\n").body[0]
    assert is_silent(bad.handlers[0])
    texts = {
        "f(image)": True,
        "image[::2]": True,
        "a != 0": True,
        "image": False,
        "images[1, 'fixed']": False,
    }
    assert {text: is_short_lived(ast.parse(text, mode="eval").body) for text in texts} == texts
    assert len(CORE) > 15 and len(SOURCES) > len(CORE)


def holds_for(paths: list[Path]):
    """Makes one test of a rule for all files; thousands of tests would take longer than what they test."""

    def decorate(rule):
        def test():
            broken = {}
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    broken[name_of(path)] = str(error)
            assert not broken

        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return decorate


@holds_for(SOURCES)
def test_file_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


@holds_for(CORE)
def test_only_bridge_and_panel_know_slicer(path):
    roots = {name.split(".")[0] for name in imports(path)}
    part = path.relative_to(LIBRARY).parts[0]
    assert not roots & ((WIDGETS | SLICER) - ALLOWED.get(part, set()))
    if part in TORCH_FREE:
        assert "torch" not in roots, "Slicer comes without torch"
    if part not in ("cli", "pictures"):
        assert not roots & {"matplotlib", "tqdm"}, "these come with the extra cli alone"
    if part != "evaluation":
        assert "skimage" not in roots, "it comes with the extra evaluation alone"


def test_every_part_has_its_place_in_the_layers():
    parts = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert parts <= set(BELOW), "say in BELOW what the new part may not import"


@holds_for(CORE)
def test_layers_look_down_only(path):
    part = path.relative_to(LIBRARY).parts[0]
    for upper in BELOW.get(part, ()):
        wrong = {name for name in imports(path) if name.startswith(f"SACBRegistrationLib.{upper}")}
        assert not wrong


@holds_for(SOURCES)
def test_no_error_is_swallowed(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            assert not is_silent(node), f"silent except in line {node.lineno}"
    assert not [call for name, call in calls(path) if name.split(".")[-1] == "suppress"]


@holds_for(SOURCES)
def test_no_warning_is_hidden(path):
    names = {name for name, _ in calls(path)}
    assert not names & {"warnings.filterwarnings", "warnings.simplefilter", "filterwarnings", "simplefilter"}


@holds_for(CORE)
def test_library_does_not_print(path):
    if "cli" in path.relative_to(LIBRARY).parts:
        return
    assert "print" not in {name for name, _ in calls(path)}


@holds_for(CORE)
def test_nothing_runs_code_from_a_file(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"dill", "joblib", "shelve", "marshal"}
    for name, call in calls(path):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler")
        assert options.get("shell", "False") == "False"
        if name == "torch.load":
            assert options.get("weights_only") == "True", f"line {call.lineno}"
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", f"line {call.lineno}"


def is_short_lived(image: ast.expr) -> bool:
    """Says whether an image is made on the spot, so that nothing keeps it once the call has returned."""
    if isinstance(image, ast.Subscript):
        return any(isinstance(node, ast.Slice) for node in ast.walk(image.slice))
    return not isinstance(image, ast.Name | ast.Attribute)


@holds_for(SOURCES)
def test_no_view_outlives_its_image(path):
    # SimpleITK's views do not keep the image: its memory is freed under them.
    views = [call for name, call in calls(path) if name.split(".")[-1] == "GetArrayViewFromImage"]
    wrong = [call.lineno for call in views if is_short_lived(call.args[0])]
    assert not wrong, f"lines {wrong}: use GetArrayFromImage, or give the image a name"


def test_importing_the_package_costs_nothing():
    code = (
        "import sys, SACBRegistrationLib\n"
        "heavy = {'torch', 'SimpleITK', 'numpy', 'matplotlib', 'slicer', 'vtk'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, f"importing the package imported {done.stderr.strip()}"


def assert_loads_without(unwanted: set[str], names: list[str]) -> None:
    code = "import sys\n" + "".join(f"import SACBRegistrationLib.{name}\n" for name in names)
    code += f"sys.exit(', '.join({unwanted!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip()


def test_the_bridge_loads_without_torch():
    pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
    names = sorted(path.stem for path in (LIBRARY / "mrml").glob("*.py") if path.stem != "__init__")
    assert {"volumes", "transforms", "cluster_maps"} <= set(names)
    assert_loads_without({"torch", "matplotlib"}, [f"mrml.{name}" for name in names])


def test_the_side_that_starts_a_worker_loads_without_torch():
    names = {path.stem for path in (LIBRARY / "worker").glob("*.py")} - WORKER_PROGRAM - {"__init__"}
    assert {"run", "job", "messages", "process", "python_command", "main"} <= names
    assert_loads_without(
        {"torch", "slicer", "vtk", "matplotlib"}, [f"worker.{name}" for name in sorted(names)]
    )
