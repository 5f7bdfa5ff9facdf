"""The registration for Slicer's Python console, scripts and the panel."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.inputs import RunNodes, gather_inputs
from SACBRegistrationLib.mrml.outputs import FIXED, Outputs, RegistrationNodes
from SACBRegistrationLib.mrml.propagation import apply_transform
from SACBRegistrationLib.mrml.run import RegistrationRun
from SACBRegistrationLib.mrml.writing import Targets
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.process import PopenProcess, WorkerProcess
from SACBRegistrationLib.worker.run import WorkerRun
from SACBRegistrationLib.worker.scheduling import Scheduler


class SACBRegistrationLogic:
    """Registers volume nodes of a scene; needs no panel and no window.

    Names are camelCase as in Slicer's own API. World coordinates are RAS mm.

    Args:
        launch: Makes the process that the heavy work runs in.
        scheduler: Steps runs that nobody waits for, and passes the time while somebody does; None sleeps
            while somebody waits.
        python: Command that starts Python with torch; None finds it.
    """

    def __init__(
        self,
        launch: Callable[[], WorkerProcess] = PopenProcess,
        scheduler: Scheduler | None = None,
        python: Sequence[str] | None = None,
    ) -> None:
        self._launch, self._python = launch, python
        self._scheduler = scheduler

    def register(
        self,
        fixedVolumeNode: slicer.vtkMRMLScalarVolumeNode,
        movingVolumeNode: slicer.vtkMRMLScalarVolumeNode,
        preset: str | Path = "ixi",
        clusters: int | Mapping[int, int] | None = None,
        alignment: str | None = None,
        refine: int | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        seed: int = 0,
        fieldSpacing: float | None = None,
        similarity: str = "auto",
        smoothness: float = 1.0,
        precision: str = "float32",
        memoryLimit: float | None = None,
        initialTransformNode: slicer.vtkMRMLTransformNode | None = None,
        fixedMaskNode: slicer.vtkMRMLNode | None = None,
        movingMaskNode: slicer.vtkMRMLNode | None = None,
        fixedSegmentationNode: slicer.vtkMRMLNode | None = None,
        movingSegmentationNode: slicer.vtkMRMLNode | None = None,
        fixedPointsNode: slicer.vtkMRMLMarkupsNode | None = None,
        movingPointsNode: slicer.vtkMRMLMarkupsNode | None = None,
        outputTransformNode: slicer.vtkMRMLGridTransformNode | None = None,
        outputVolumeNode: slicer.vtkMRMLScalarVolumeNode | None = None,
        outputs: Outputs | None = None,
        waitForCompletion: bool = True,
    ) -> RegistrationNodes | RegistrationRun:
        """Registers the moving volume to the fixed one, in the scene of both.

        Args:
            fixedVolumeNode: Stays; where it lies in the world counts, linear transforms above it included.
            movingVolumeNode: Likewise; it is not changed, and not put under the transform.
            preset: Name of a bundled preset, or path of a preset file.
            clusters: Number of tissue clusters N (2 to 32), or {level: N}; None takes the preset's.
            alignment: "none", "rigid" or "affine"; None takes the preset's.
            refine: Most refinement steps per resolution, 0 for none; None means the preset's number
                without a network, and after one where the preset says so.
            weights: Checkpoint; None takes the preset's own, "none" runs without the network.
            device: "auto", "cpu" or "cuda".
            seed: Seed of everything random.
            fieldSpacing: Spacing of the displacement field, mm; None takes the finest that is of use.
            similarity: What the refinement compares: "ncc" intensities, "mind" the self-similarity of any
                contrasts, "auto" decides by the aligned pair.
            smoothness: Factor on the smoothness of the refinement, 0.05 to 20.
            precision: "float32", "tf32", "bfloat16" or "float16" for the network's products on a GPU.
            memoryLimit: Most memory for the network and the refinement, GB (10^9 bytes); None takes most of
                what is free.
            initialTransformNode: Brings the moving volume near the fixed one when that is put under it.
            fixedMaskNode: Label map or segmentation; only what it covers counts.
            movingMaskNode: Likewise, for the moving volume.
            fixedSegmentationNode: Segmentation or label map whose structures the quality is measured on.
            movingSegmentationNode: Likewise; structures are matched by name.
            fixedPointsNode: Landmarks for the target registration error.
            movingPointsNode: Likewise; points are matched by name.
            outputTransformNode: Reused with everything that its last run made; None makes new nodes.
            outputVolumeNode: Reused for the warped volume, which is then made in any case.
            outputs: What to make besides the transform; None makes all but the inverse.
            waitForCompletion: Whether to return only when it is done.

        Returns:
            The nodes; or the running registration when not waiting: with a scheduler it steps by itself,
            without one the caller calls its step() until that returns True.

        Raises:
            UserError: When an input or a choice cannot be used, or the run failed; the scene is as it was.
            CancelledError: When it was cancelled while waiting.
        """
        settings = RegistrationSettings(
            preset=str(preset),
            clusters=clusters,
            weights=None if weights is None else str(weights),
            device=device,
            alignment=alignment,
            refine=refine,
            seed=seed,
            field_spacing=fieldSpacing,
            similarity=similarity,
            smoothness=smoothness,
            precision=precision,
            memory_limit=memoryLimit,
        )
        nodes = RunNodes(
            fixed=fixedVolumeNode,
            moving=movingVolumeNode,
            initial_transform=initialTransformNode,
            masks={"fixed": fixedMaskNode, "moving": movingMaskNode},
            structures={"fixed": fixedSegmentationNode, "moving": movingSegmentationNode},
            points={"fixed": fixedPointsNode, "moving": movingPointsNode},
        )
        targets = Targets(fixedVolumeNode, movingVolumeNode, outputTransformNode, outputVolumeNode)
        keys = (outputs if outputs is not None else Outputs()).keys
        if outputVolumeNode is not None:
            keys |= {"warped"}
        inputs, notes = gather_inputs(nodes, settings, keys)
        targets.check()
        worker = WorkerRun(self._launch(), self._python)
        run = RegistrationRun(worker, inputs, targets, self._scheduler, notes)
        if waitForCompletion:
            return run.wait()
        if self._scheduler is not None:
            self._scheduler.repeat(run.step)
        return run

    def applyTransform(
        self,
        result: RegistrationNodes | slicer.vtkMRMLTransformNode,
        nodes: slicer.vtkMRMLNode | Iterable[slicer.vtkMRMLNode],
        referenceVolumeNode: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> tuple[slicer.vtkMRMLNode, ...]:
        """Carries segmentations, label maps, models, markups and volumes from the moving to the fixed volume.

        Args:
            result: What `register` returned, or its transform node.
            nodes: Nodes that lie on the moving volume; they stay as they are.
            referenceVolumeNode: Volumes and label maps are put on its voxels; None takes the fixed volume
                where it is known.

        Returns:
            Hardened copies, in the order of the nodes.

        Raises:
            UserError: When a node cannot be transformed; the scene is as it was.
        """
        transform = result.transform if isinstance(result, RegistrationNodes) else result
        if transform is None:
            raise UserError("There is no transform to apply; register a pair or choose a transform first.")
        chosen = [nodes] if isinstance(nodes, slicer.vtkMRMLNode) else list(nodes)
        reference = referenceVolumeNode or transform.GetNodeReference(FIXED)
        return apply_transform(transform, chosen, reference=reference)
