"""One registration from nodes to nodes, done in small steps beside a window that stays alive."""

import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.loading import load_arrays
from SACBRegistrationLib.mrml.outputs import RegistrationNodes
from SACBRegistrationLib.mrml.writing import Targets, write_result
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.arrays import ArrayFile, write_steps
from SACBRegistrationLib.worker.job import Job, Structure
from SACBRegistrationLib.worker.run import RunStatus, WorkerRun
from SACBRegistrationLib.worker.scheduling import Scheduler, SleepingScheduler

logger = logging.getLogger(__name__)

STEP_SECONDS = 0.015
"""Time that a step may use before it lets the window breathe."""

_WORKER_BEGINS, _WORKER_ENDS = 0.02, 0.97


@dataclass(frozen=True)
class RunInputs:
    """What goes to the worker; voxels are views of what the nodes hold, world coordinates are LPS mm.

    Attributes:
        settings: The choices.
        images: The worker's key to voxels [z, y, x] (or displacements [z, y, x, 3]) and their grid.
        initial_affine: Matrix (9, row-major) and translation (3), fixed to moving points, or None.
        structures: Role to the structures that the quality is measured on.
        points: Role to the landmarks by name.
        outputs: The worker's names of what to make.
    """

    settings: RegistrationSettings
    images: Mapping[str, tuple[np.ndarray, Grid]]
    initial_affine: tuple[tuple[float, ...], tuple[float, ...]] | None
    structures: Mapping[str, tuple[Structure, ...]]
    points: Mapping[str, Mapping[str, tuple[float, float, float]]]
    outputs: frozenset[str]


class RegistrationRun:
    """A running registration; somebody calls `step` until it returns True.

    Args:
        worker: The process that does the work, not yet launched.
        inputs: What it works on.
        targets: Where the result goes.
        scheduler: Passes the time while `wait` blocks; None sleeps.
        notes: Sentences that the report is to hold besides its own.
    """

    def __init__(
        self,
        worker: WorkerRun,
        inputs: RunInputs,
        targets: Targets,
        scheduler: Scheduler | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._worker, self._inputs, self._targets = worker, inputs, targets
        self._scheduler, self._notes = scheduler or SleepingScheduler(), notes
        self._status = RunStatus()
        self._nodes: RegistrationNodes | None = None
        self._cancelled = False
        self._steps = self._all_steps()

    @property
    def status(self) -> RunStatus:
        """How far it is; "done" only once the nodes are in the scene."""
        return self._status

    @property
    def nodes(self) -> RegistrationNodes | None:
        """The nodes made, once it is done."""
        return self._nodes

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self._status.state in ("done", "failed", "cancelled")

    def step(self) -> bool:
        """Goes on for some milliseconds; never raises for what went wrong: that is in `status`.

        Returns:
            Whether the run has ended.
        """
        if self.ended:
            return True
        until = time.monotonic() + STEP_SECONDS
        try:
            while next(self._steps) and time.monotonic() < until:
                continue
        except StopIteration:
            self._worker.close()
        except UserError as error:
            self._end("failed", str(error))
        except Exception:
            logger.exception("The registration could not be brought into the scene")
            self._end(
                "failed",
                "The result could not be brought into the scene, which is as it was; "
                "see the log for the reason.",
            )
        return self.ended

    def cancel(self) -> None:
        """Ends the run; the scene stays as it was. The process is gone a few steps later."""
        if not self.ended:
            self._cancelled = True
            self._worker.cancel()

    def close(self) -> None:
        """Ends the run at once, as when Slicer closes; nothing of it stays."""
        if not self.ended:
            self._end("cancelled", None)

    def wait(self) -> RegistrationNodes:
        """Blocks until the run has ended.

        Raises:
            UserError: When it failed, with the reason.
            CancelledError: When it was cancelled.
        """
        try:
            while not self.step():
                self._scheduler.idle()
        except BaseException:
            self.close()
            raise
        if self._status.state == "cancelled":
            raise CancelledError("The registration was cancelled.")
        if self._nodes is None:
            raise UserError(self._status.error)
        return self._nodes

    def _all_steps(self) -> Generator[bool, None, None]:
        """Yields whether there is more to do at once, or only to wait for the worker."""
        if self._cancelled:
            self._end("cancelled", None)
            return
        self._worker.launch()
        files = {}
        for key, (array, grid) in self._inputs.images.items():
            file = ArrayFile.of(array, f"{key}.raw", grid)
            for _ in write_steps(array, self._worker.folder / file.name):
                if self._poll("Sending the volumes", 0.0) != "running":
                    return
                yield True
            files[key] = file
        self._worker.submit(self._job(files))
        while True:
            state = self._poll(None, None)
            if state in ("failed", "cancelled"):
                return
            if state == "done":
                break
            yield False
        result = self._worker.poll().result
        loading = load_arrays(result.images, self._worker.folder)
        while True:
            try:
                next(loading)
            except StopIteration as ended:
                loaded = ended.value
                break
            if self._cancelled:
                self._end("cancelled", None)
                return
            self._status = replace(self._status, stage="Bringing the result into the scene", fraction=0.98)
            yield True
        # Closing the worker would keep the window waiting for the process to end.
        for _ in self._worker.release():
            if self._cancelled:
                self._end("cancelled", None)
                return
            yield False
        report = {**result.report, "notes": [*result.report.get("notes", ()), *self._notes]}
        self._nodes = write_result(self._targets, loaded, report, result.quality, result.ranges)
        self._end("done", None)

    def _poll(self, stage: str | None, fraction: float | None) -> str:
        """Takes over the worker's status; "running" stands for everything before its end."""
        status = self._worker.poll()
        if status.state in ("failed", "cancelled"):
            self._end(status.state, status.error, status)
            return status.state
        if status.state == "done":
            return "done"
        reached = _WORKER_BEGINS + status.fraction * (_WORKER_ENDS - _WORKER_BEGINS)
        self._status = replace(
            status,
            stage=stage or status.stage,
            fraction=reached if fraction is None else fraction,
            result=None,
        )
        return "running"

    def _job(self, files: Mapping[str, ArrayFile]) -> Job:
        inputs = self._inputs
        return Job(
            settings=inputs.settings,
            images=files,
            initial_affine=inputs.initial_affine,
            structures=inputs.structures,
            points=inputs.points,
            outputs=inputs.outputs,
        )

    def _end(self, state: str, error: str | None, status: RunStatus | None = None) -> None:
        last = status if status is not None else self._worker.poll()
        self._worker.close()
        self._status = replace(
            last,
            state=state,
            error=error,
            result=None,
            fraction=1.0 if state == "done" else self._status.fraction,
            seconds_left=None,
        )
