"""How the panel looks for PyTorch: late, with consent, and with one sentence where it does not come."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import types

import pytest
from shared_data import REPOSITORY

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.ui import dependencies


@pytest.fixture
def without_torch(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else found(name, *more)
    )


def extension(monkeypatch, install):
    """Puts a PyTorch extension in place whose installTorch is the given function."""
    calls = []

    class PyTorchUtilsLogic:
        def installTorch(  # noqa: N802
            self,
            askConfirmation=False,  # noqa: N803
            forceComputationBackend=None,  # noqa: N803
            torchVersionRequirement=None,  # noqa: N803
            torchvisionVersionRequirement=None,  # noqa: N803
        ):
            calls.append((askConfirmation, torchVersionRequirement))
            return install()

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return calls


def fail():
    raise subprocess.CalledProcessError(1, "pip")


def test_installed_torch_is_enough(monkeypatch):
    calls = extension(monkeypatch, fail)
    dependencies.ensure_torch()
    assert not calls


def test_looking_does_not_import_torch():
    code = (
        "import sys\nfrom SACBRegistrationLib.ui.dependencies import ensure_torch\nensure_torch()\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_extension_is_asked_with_consent(monkeypatch, without_torch):
    calls = extension(monkeypatch, lambda: types.ModuleType("torch"))
    dependencies.ensure_torch()
    assert calls == [(True, ">=2.2")]


@pytest.mark.parametrize(
    ("install", "words"), [(lambda: None, "was not installed"), (fail, "check the network connection")]
)
def test_declined_and_offline(monkeypatch, without_torch, install, words):
    extension(monkeypatch, install)
    with pytest.raises(UserError, match=words) as caught:
        dependencies.ensure_torch()
    assert str(caught.value).endswith(".") and "Apply again" in str(caught.value)


def test_extension_absent(monkeypatch, without_torch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(UserError, match="Extensions Manager"):
        dependencies.ensure_torch()


@pytest.mark.parametrize(("version", "enough"), [("2.1.2+cpu", False), ("2.2.0", True), ("3.0a0", True)])
def test_old_torch_is_refused(monkeypatch, version, enough):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if enough:
        dependencies.ensure_torch()
    else:
        with pytest.raises(UserError, match=r"PyTorch 2\.1 is too old, 2\.2 or newer"):
            dependencies.ensure_torch()


def test_oldest_version_is_the_projects():
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"torch>={".".join(map(str, dependencies.OLDEST_TORCH))}"' in text
