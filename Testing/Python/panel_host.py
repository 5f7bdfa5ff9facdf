"""The panel alone in the test host: no module around it, and the logic that a test wants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import SimpleITK as sitk
import slicer_host

if not slicer_host.is_available():
    pytest.skip(slicer_host.MISSING, allow_module_level=True)
HOST = slicer_host.start_host()

import slicer  # noqa: E402
from panel_fakes import FakeLogic  # noqa: E402

from SACBRegistrationLib.mrml.volumes import image_to_volume  # noqa: E402
from SACBRegistrationLib.resources import ui_file  # noqa: E402
from SACBRegistrationLib.ui.panel import RegistrationPanel  # noqa: E402
from SACBRegistrationLib.ui.qt_scheduler import QtScheduler  # noqa: E402

stall_meter = HOST.stall_meter
grab = HOST.grab


def process_events() -> None:
    HOST.process_events()


def process_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    HOST.process_events(until=lambda: bool(condition()), timeout_s=seconds)


@contextmanager
def open_panel(
    prepare: Callable[[], None] = lambda: None,
    make_logic: Callable[[QtScheduler], object] = lambda scheduler: FakeLogic(),
    fresh: bool = True,
) -> Iterator[RegistrationPanel]:
    """A panel in a scene that is empty when `fresh`; it is closed at the end, if the test has not done so."""
    if fresh:
        slicer.mrmlScene.Clear(0)
    scheduler = QtScheduler()
    widget = slicer.util.loadUI(str(ui_file("SACBRegistration.ui")))
    logic = make_logic(scheduler)
    panel = RegistrationPanel(widget, slicer.mrmlScene, logic, scheduler, prepare)
    panel.logic, panel.scheduler = logic, scheduler
    widget.show()
    process_events()
    try:
        yield panel
        process_events()
    finally:
        panel.close()
        scheduler.stop()
        widget.hide()
        widget.deleteLater()
        process_events()
        if fresh:
            slicer.mrmlScene.Clear(0)


def add_volume(name: str) -> "slicer.vtkMRMLScalarVolumeNode":
    """An oblique, anisotropic, non-cubic volume with something in it."""
    values = np.random.default_rng(len(name)).random((14, 12, 10), np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.5, 1.2, 2.0))
    image.SetOrigin((5.0, -8.0, 12.0))
    image.SetDirection((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    image_to_volume(image, node)
    node.CreateDefaultDisplayNodes()
    return node
