"""Pictures of the module's panel in the test host: before, during and after a run on the sample pair.

It has a process of its own (`python Testing/Pictures/panel.py FOLDER`), for the host takes a process over.
"""

import sys
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
REPOSITORY = _TESTING.parent
for _folder in (REPOSITORY, _TESTING, _TESTING / "Host"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import slicer_host  # noqa: E402

WIDTH = 560
_PATIENCE_S = 600.0
_DURING = 0.35


def draw_panel(folder: Path) -> list[Path]:
    """Runs the module on the sample pair and writes panel_before.png, panel_during.png and panel_after.png.

    Raises:
        RuntimeError: When the run does not succeed.
        TimeoutError: When it does not end.
    """
    host = slicer_host.start_host()
    widget = host.load_module(REPOSITORY / "SACBRegistration" / "SACBRegistration.py")

    import slicer

    from SACBRegistrationLib.ui.sample_data import add_phantom_pair

    paths = [folder / f"panel_{when}.png" for when in ("before", "during", "after")]
    folder.mkdir(parents=True, exist_ok=True)
    panel, ui = widget.panel, widget.ui
    nodes = add_phantom_pair(slicer.mrmlScene)
    names = [f"{role}{kind}" for kind in ("Volume", "Segmentation", "Points") for role in ("fixed", "moving")]
    for name, node in zip(names, nodes, strict=True):
        getattr(ui, f"{name}Selector").setCurrentNode(node)
    host.grab(widget.parent, paths[0], WIDTH)
    ui.applyButton.click()
    host.process_events(
        lambda: not panel.controller.running or panel.controller.status.fraction > _DURING, _PATIENCE_S
    )
    host.grab(widget.parent, paths[1], WIDTH)
    host.process_events(lambda: not panel.controller.running, _PATIENCE_S)
    if panel.controller.outcome != "done":
        raise RuntimeError(ui.statusLabel.text)
    ui.inputsButton.collapsed = True
    ui.outputsButton.collapsed = True
    ui.resultsButton.collapsed = False
    host.grab(widget.parent, paths[2], WIDTH)
    host.clean()
    return paths


if __name__ == "__main__":
    draw_panel(Path(sys.argv[1]))
