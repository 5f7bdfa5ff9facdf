"""The module as Slicer loads it: its entry, its panel, its self-test, and reloading."""

import subprocess
import sys
import types

import pytest
from shared_data import REPOSITORY

MODULE = REPOSITORY / "SACBRegistration" / "SACBRegistration.py"
NAME = "SACBRegistration"


@pytest.fixture
def widget(host):
    return host.load_module(MODULE)


def test_entry_of_the_module_menu(host, widget):
    import slicer

    module = slicer.modules.sacbregistration
    assert module.title == "SACB Registration" and tuple(module.categories) == ("Registration",)
    assert tuple(module.contributors) == ("SACBRegistration developers",)
    assert "docs" in module.helpText and module.acknowledgementText
    assert not module.icon.isNull()


def test_sample_data_is_there_once_slicer_has_started(host):
    sources = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**arguments):  # noqa: N802
            sources.append(arguments["sampleName"])

    remove = host.install_fake_module("SampleData", SampleDataLogic=SampleDataLogic)
    try:
        host.load_module(MODULE)
        assert sources == ["SACB phantom pair"]
    finally:
        remove()


def test_console_logic_waits_and_keeps_the_window_alive(host, widget):
    from SACBRegistrationLib.ui.qt_process import QtProcess
    from SACBRegistrationLib.ui.qt_scheduler import QtScheduler

    logic = sys.modules[NAME].SACBRegistrationLogic()
    assert isinstance(logic.scheduler, QtScheduler)
    assert logic._launch is QtProcess
    assert logic.moduleName == NAME


def test_reloading_ends_the_run_and_keeps_the_choices(host, widget):
    import slicer

    panel = widget.panel
    panel.ui.clustersSlider.value = 5
    before = panel.parameters.parameterNode
    again = host.reload_module(NAME)
    assert again.panel is not panel and widget.panel is None
    assert again.panel.parameters.parameterNode is before
    assert again.panel.ui.clustersSlider.value == 5
    again.panel.ui.clustersSlider.value = 6
    assert panel.parameters is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


def test_leaving_and_entering(host, widget):
    host.select_module("")
    host.select_module(NAME)
    host.process_events()
    assert widget.panel.parameters is not None


def test_unloading(host, widget):
    panel = widget.panel
    host.unload_module(NAME)
    assert panel.parameters is None and not panel.results.blinking


def test_loading_needs_no_torch():
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY / 'Testing/Host')!r}, {str(REPOSITORY)!r}]\n"
        "import slicer_host\nhost = slicer_host.start_host()\n"
        "sys.modules['torch'] = None\n"
        f"widget = host.load_module({str(MODULE)!r})\n"
        "from SACBRegistrationLib.ui.sample_data import add_to_window\n"
        "assert len(add_to_window()) == 6\n"
        "host.clean()\nprint('loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip().endswith("loaded"), done.stderr


def test_self_test_passes(host, widget):
    host.run_self_test(NAME)
    assert isinstance(sys.modules[NAME], types.ModuleType)
