"""The panel with the real logic and worker process, on a phantom pair; what it leaves behind is looked at."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from panel_host import open_panel, process_until, slicer

from SACBRegistrationLib.imaging.phantom import PhantomPair
from SACBRegistrationLib.mrml.logic import SACBRegistrationLogic
from SACBRegistrationLib.ui.choices import Alignment
from SACBRegistrationLib.ui.qt_process import QtProcess
from SACBRegistrationLib.ui.sample_data import add_phantom_pair
from SACBRegistrationLib.worker.process import WorkerProcess


@contextmanager
def real_panel(
    pair: PhantomPair,
    folder: Path,
    monkeypatch,
    started: list[WorkerProcess],
    make_process: Callable[[], WorkerProcess] = QtProcess,
) -> Iterator:
    """A panel with a pair chosen, neither aligned nor refined; its processes are added to `started`."""
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def launch():
        started.append(make_process())
        return started[-1]

    with open_panel(make_logic=lambda scheduler: SACBRegistrationLogic(launch, scheduler)) as panel:
        fixed, moving, *_ = add_phantom_pair(slicer.mrmlScene, pair)
        panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
        panel.ui.movingVolumeSelector.setCurrentNode(moving)
        panel.ui.refineCheckBox.checked = False
        panel.parameters.alignment = Alignment.NONE
        yield panel
    assert not [process for process in started if process.is_running()]
    assert not list(folder.iterdir()), "the run left files behind"


def node_ids() -> set[str]:
    scene = slicer.mrmlScene
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def run_to_end(panel) -> None:
    process_until(lambda: not panel.controller.running, seconds=240)
