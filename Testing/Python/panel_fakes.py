"""Hand-written stand-ins for the logic, so that the panel is tested in milliseconds."""

from dataclasses import replace

import numpy as np
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.loading import LoadedArray
from SACBRegistrationLib.mrml.outputs import RegistrationNodes
from SACBRegistrationLib.mrml.volumes import volume_view
from SACBRegistrationLib.mrml.vtk_images import empty_image_data, image_data_to_array
from SACBRegistrationLib.mrml.writing import Targets, write_result
from SACBRegistrationLib.worker.run import RunStatus


class FakeRun:
    """A run that the test moves along."""

    def __init__(self, arguments: dict) -> None:
        self.arguments = arguments
        self.status = RunStatus(state="starting", stage="starting")
        self.nodes: RegistrationNodes | None = None
        self.cancelled = self.closed = False

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        self.closed = True
        self.status = replace(self.status, state="cancelled")

    def reach(self, fraction: float, stage: str = "refinement", seconds_left=None, note: str = "") -> None:
        self.status = RunStatus(
            state="running", fraction=fraction, stage=stage, seconds_left=seconds_left, note=note
        )

    def fail(self, error: str, log: str = "the log") -> None:
        self.status = replace(self.status, state="failed", error=error, log=log)

    def end_cancelled(self) -> None:
        self.status = replace(self.status, state="cancelled")

    def finish(self) -> None:
        self.nodes = write_result(
            Targets(
                self.arguments["fixedVolumeNode"],
                self.arguments["movingVolumeNode"],
                self.arguments["outputTransformNode"],
                self.arguments["outputVolumeNode"],
            ),
            *made_up_result(self.arguments),
        )
        self.status = replace(self.status, state="done", fraction=1.0, log="all went well")


class FakeLogic:
    """Hands out fake runs; `refuse` is raised instead when it is set."""

    def __init__(self) -> None:
        self.runs: list[FakeRun] = []
        self.refuse: Exception | None = None

    def register(self, waitForCompletion: bool = True, **arguments) -> FakeRun:  # noqa: N803
        assert not waitForCompletion
        if self.refuse is not None:
            raise self.refuse
        self.runs.append(FakeRun(arguments))
        return self.runs[-1]


def refuse_torch() -> None:
    raise UserError("PyTorch is missing; install the extension PyTorch.")


def made_up_result(arguments: dict) -> tuple[dict, dict, dict, dict]:
    """What a worker would have found, as far as the panel can tell."""
    outputs = arguments["outputs"]
    values, grid = volume_view(arguments["fixedVolumeNode"])
    z = np.linspace(0, np.pi, values.shape[0], dtype=np.float32)[:, None, None]
    field = np.zeros((*values.shape, 3), np.float32)
    field[..., 0] = 4 * np.sin(z)
    length = np.linalg.norm(field, axis=-1)
    loaded = {"displacement_field": _load(field, grid)}
    ranges = {"displacement_field": (0.0, 4.0)}
    if outputs.warped:
        loaded["warped"], ranges["warped"] = _load(values, grid), (0.0, 1.0)
    if outputs.magnitude:
        loaded["magnitude"], ranges["magnitude"] = _load(length, grid), (0.0, 4.0)
    if outputs.jacobian:
        loaded["jacobian"], ranges["jacobian"] = _load(np.ones_like(length), grid), (1.0, 1.0)
    if outputs.clusterMaps:
        for level in (5, 4, 3, 2):
            for role in ("fixed", "moving"):
                key = f"clusters_{level}_{role}"
                map_ = (1 + np.arange(values.size).reshape(values.shape) % 7).astype(np.uint8)
                loaded[key], ranges[key] = _load(map_, grid), (1, 7)
    return loaded, made_up_report(), {"structures": {}, "points": {}}, ranges


def made_up_report() -> dict:
    clusters = {str(level): 7 for level in (5, 4, 3, 2)}
    jacobian = {"minimum": 0.6, "maximum": 1.4, "folding_percent": 0.0}
    return {
        "settings": {"clusters": clusters, "preset": "ixi"},
        "local_ncc": {"before": 0.2, "aligned": 0.4, "after": 0.8},
        "jacobian": {**jacobian, "anatomy": jacobian},
        "displacement_mm": {"mean_mm": 2.0, "p99_mm": 3.9, "maximum_mm": 4.0},
        "self_check": {"verdict": "look at this", "reasons": ["It folds.", "It bends."], "facts": {}},
        "notes": ["A note for the reader."],
    }


def _load(array: np.ndarray, grid: Grid) -> LoadedArray:
    data = empty_image_data(array.shape, array.dtype)
    image_data_to_array(data)[...] = array
    assert isinstance(data, vtk.vtkImageData)
    return LoadedArray(data, grid)
