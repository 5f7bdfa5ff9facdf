"""What a worker makes of a job, in this process: volumes, number types, failures, a second try on the CPU."""

import io
import logging

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from oblique import oblique_grid
from small_pairs import blob_pair, same_geometry
from worker_fixtures import job_of, read_through_simpleitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.memory_errors import is_gpu_memory
from SACBRegistrationLib.registration import RegistrationResult
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.execution import execute
from SACBRegistrationLib.worker.failures import RETRY_NOTE, failure
from SACBRegistrationLib.worker.job import OUTPUTS, Structure
from SACBRegistrationLib.worker.messages import MessageWriter, NoteMessage, ProgressMessage, parse_message
from SACBRegistrationLib.worker.volumes import displacement_magnitude, jacobian_volume

OUT_OF_GPU = (
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
)
OUT_OF_MEMORY = (
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("Exception thrown in SimpleITK Resample: Failed to allocate memory for image."),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
)


class Backend:
    """Stands for `register`: notes how it was called, fails as told, and returns a small known result."""

    def __init__(self, *errors: Exception, **changes) -> None:
        self.errors, self.changes, self.calls = list(errors), changes, []

    def __call__(self, fixed, moving, **choices) -> RegistrationResult:
        self.calls.append(choices)
        choices["progress"](0.5, "network")
        if self.errors:
            raise self.errors.pop(0)
        turn = sitk.Euler3DTransform()
        turn.SetRotation(0.05, -0.03, 0.08)
        turn.SetTranslation((2.0, -3.0, 1.5))
        turn.SetCenter(Grid.from_image(fixed).center.tolist())
        grid = Grid.from_image(fixed)
        noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1)) * 0.6
        smooth = F.interpolate(noise, grid.size, mode="trilinear", align_corners=True)
        field = compose_displacement(smooth, grid, turn, grid, self.changes.get("spacing"))
        warped = self.changes.get("warped", fixed)
        report = {"notes": ["first"], "seconds": {"total": 1.0}, "odd": float("nan"), "settings": {"seed": 0}}
        return RegistrationResult(field, warped, {}, report, turn, fixed, moving)


def run(folder, backend, device="auto", outputs=OUTPUTS, pair=None, **more):
    fixed, moving = pair or blob_pair()
    job = job_of(
        folder,
        RegistrationSettings(device=device),
        {"fixed": fixed, "moving": moving},
        outputs=outputs,
        **more,
    )
    stream = io.BytesIO()
    result = execute(job, folder, MessageWriter(stream), register=backend)
    return result, [parse_message(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("error", OUT_OF_GPU, ids=str)
def test_too_small_a_gpu_means_once_more_on_the_cpu(tmp_path, error, caplog):
    backend = Backend(error)
    with caplog.at_level(logging.WARNING):
        result, messages = run(tmp_path, backend)
    assert [call["device"] for call in backend.calls] == ["auto", "cpu"]
    assert [m.text for m in messages if isinstance(m, NoteMessage)] == [RETRY_NOTE]
    assert result.report["notes"] == [RETRY_NOTE, "first"] and str(error) in caplog.text


def test_no_third_try(tmp_path):
    backend = Backend(*OUT_OF_GPU[:2])
    with pytest.raises(RuntimeError, match="CUDA error"):
        run(tmp_path, backend, device="cuda")
    assert len(backend.calls) == 2


@pytest.mark.parametrize("error", [*OUT_OF_MEMORY, UserError("Give another image."), RuntimeError("cuda")])
def test_other_failures_are_no_reason_for_the_cpu(tmp_path, error):
    backend = Backend(error)
    with pytest.raises(type(error)):
        run(tmp_path, backend)
    assert len(backend.calls) == 1 and not is_gpu_memory(error)


def test_failures_have_a_sentence():
    assert failure(UserError("Give another image.")) == ("user", "Give another image.")
    for error in OUT_OF_MEMORY:
        kind, sentence = failure(error)
        assert kind == "memory" and "close other programs" in sentence
    kind, sentence = failure(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert kind == "error" and "needs PyTorch" in sentence and "install it" in sentence
    assert "No space left on device" in failure(OSError(28, "No space left on device"))[1]
    kind, sentence = failure(KeyError("x\ny"))
    assert kind == "error" and "KeyError" in sentence and "log" in sentence and "\n" not in sentence


def test_fractions_rise_to_the_end(tmp_path):
    _, messages = run(tmp_path, Backend())
    fractions = [m.fraction for m in messages if isinstance(m, ProgressMessage)]
    assert fractions == sorted(fractions) and 0 < fractions[0] < 0.5 and fractions[-1] > 0.95


@pytest.mark.parametrize("spacing", [None, 5.0], ids=["nodes on voxels", "nodes between voxels"])
def test_volumes_derived_from_the_field(tmp_path, spacing):
    result, _ = run(tmp_path, Backend(spacing=spacing))
    assert set(result.images) == {"displacement_field", "warped", "magnitude", "jacobian", "inverse_field"}
    field, magnitude, jacobian = (
        read_through_simpleitk(result.images[key], tmp_path)
        for key in ("displacement_field", "magnitude", "jacobian")
    )
    fixed, _ = blob_pair()
    assert same_geometry(magnitude, fixed) and same_geometry(jacobian, fixed)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    grid = Grid.from_image(fixed)
    for index in ((1, 1, 1), (22, 18, 16), (11, 4, 9), (3, 17, 6)):
        point = np.asarray(fixed.TransformIndexToPhysicalPoint(index))
        moved = np.asarray(transform.TransformPoint(point)) - point
        assert magnitude[index] == pytest.approx(np.linalg.norm(moved), abs=1e-3)
        slopes = [
            np.subtract(transform.TransformPoint(point + step), transform.TransformPoint(point - step))
            / (2 * length)
            for step, length in zip(grid.matrix.T, grid.spacing, strict=True)
        ]
        expected = np.linalg.det(slopes) * np.linalg.det(grid.axes)
        assert jacobian[index] == pytest.approx(expected, abs=1e-3 if spacing is None else 0.05)
    for key, (low, high) in result.ranges.items():
        values = sitk.GetArrayFromImage(read_through_simpleitk(result.images[key], tmp_path))
        assert (low, high) == (values.min(), values.max())
    assert set(result.ranges) == {"warped", "magnitude", "jacobian"}
    assert result.report["odd"] is None and result.report["inverse"]["residual_mean_mm"] < 0.1


def test_the_jacobian_of_a_known_map():
    grid, finer = oblique_grid((9, 8, 7)), oblique_grid((11, 12, 9), (0.7, 0.8, 0.9))
    matrix = np.array([[1.2, 0.1, 0.0], [-0.05, 0.9, 0.2], [0.0, 0.1, 1.1]])
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(matrix.ravel().tolist())
    affine.SetTranslation((3.0, 1.0, -2.0))
    field = compose_displacement(torch.zeros(1, 3, *grid.size), grid, affine, grid)
    for where in (grid, finer):
        jacobian = jacobian_volume(field, where)
        assert jacobian.GetSize() == where.size
        np.testing.assert_allclose(sitk.GetArrayViewFromImage(jacobian), np.linalg.det(matrix), rtol=1e-4)
        magnitude = displacement_magnitude(field, where)
        corner = where.to_lps(np.asarray(where.size) - 1)
        expected = np.linalg.norm(matrix @ corner + (3.0, 1.0, -2.0) - corner)
        assert magnitude[tuple(n - 1 for n in where.size)] == pytest.approx(expected, rel=1e-4)


def test_a_warped_image_is_written_in_a_type_that_slicer_stores(tmp_path):
    warped = sitk.Cast(blob_pair()[0] * 100, sitk.sitkInt64)
    result, _ = run(tmp_path, Backend(warped=warped))
    assert result.images["warped"].dtype == "int16"
    written = sitk.GetArrayFromImage(read_through_simpleitk(result.images["warped"], tmp_path))
    assert (written == sitk.GetArrayViewFromImage(warped)).all() and written.any()


def test_only_what_was_asked_for_is_made(tmp_path):
    result, _ = run(tmp_path, Backend(), outputs=frozenset())
    assert set(result.images) == {"displacement_field"} and result.ranges == {}
    assert result.report.get("inverse") is None


def test_structures_and_points_are_compared_by_name(tmp_path):
    fixed, moving = blob_pair()
    labels = {}
    for number, image in enumerate((fixed, moving, moving)):
        values = sitk.GetArrayViewFromImage(image)
        label = sitk.GetImageFromArray((values > np.quantile(values, 0.8)).astype(np.int16) * (number + 3))
        label.CopyInformation(image)
        labels[f"structure_{number}"] = label
    backend = Backend()
    folder = tmp_path
    job = job_of(
        folder,
        RegistrationSettings(),
        {"fixed": fixed, "moving": moving, **labels},
        structures={
            "fixed": (Structure("core", "structure_0", 3), Structure("absent", "structure_0", 9)),
            "moving": (
                Structure("core", "structure_1", 4),
                Structure("other", "structure_2", 5),
                Structure("absent", "structure_1", 9),
            ),
        },
        points={
            "fixed": {"a": (10.0, -30.0, 45.0), "b": (0.0, 0.0, 0.0)},
            "moving": {"a": (11.0, -30.0, 45.0)},
        },
    )
    result = execute(job, folder, MessageWriter(io.BytesIO()), register=backend)
    core = result.quality["structures"]["core"]
    assert set(result.quality["structures"]) == {"core", "absent"}
    assert 0 < core["dice"][0] < 1 and core["dice"][0] != core["dice"][1] and core["assd"][0] > 0
    assert result.quality["structures"]["absent"]["hd95"] == [None, None]
    before, after = result.quality["points"]["a"]
    transform = sitk.DisplacementFieldTransform(
        sitk.Cast(read_through_simpleitk(result.images["displacement_field"], folder), sitk.sitkVectorFloat64)
    )
    moved = np.asarray(transform.TransformPoint((10.0, -30.0, 45.0)))
    assert before == pytest.approx(1.0) and after == pytest.approx(
        np.linalg.norm(moved - (11.0, -30.0, 45.0)), abs=1e-3
    )
    assert set(result.quality["points"]) == {"a"}


def test_names_without_a_partner_are_said(tmp_path):
    points = {"fixed": {"a": (0.0, 0.0, 0.0)}, "moving": {"b": (0.0, 0.0, 0.0)}}
    result, _ = run(tmp_path, Backend(), points=points)
    assert result.quality == {"structures": {}, "points": {}}
    assert "no name in common" in result.report["notes"][-1]


def test_a_quality_that_fails_does_not_cost_the_registration(tmp_path, caplog):
    fixed, moving = blob_pair()
    both = (Structure("core", "structure_0", 1),)
    job = job_of(
        tmp_path,
        RegistrationSettings(),
        {"fixed": fixed, "moving": moving, "structure_0": fixed},
        structures={"fixed": both, "moving": both},
    )
    (tmp_path / "structure_0.raw").write_bytes(b"")
    result = execute(job, tmp_path, MessageWriter(io.BytesIO()), register=Backend())
    assert "displacement_field" in result.images and result.quality["structures"] == {}
    assert "could not be compared" in result.report["notes"][-1] and "structure_0.raw" in caplog.text


def test_the_start_reaches_the_backend(tmp_path):
    fixed, moving = blob_pair()
    matrix = (0.9, 0.1, 0.0, -0.2, 1.1, 0.0, 0.0, 0.3, 1.0)
    point = Grid.from_image(fixed).center
    images = {"fixed": fixed, "moving": moving, "fixed_mask": sitk.Cast(fixed > 0, sitk.sitkUInt8)}
    settings = RegistrationSettings(
        preset="lpba", clusters={5: 3, 4: 4, 3: 5, 2: 6}, alignment="rigid", refine=3, seed=8, weights="none",
        field_spacing=2.5, precision="tf32", memory_limit=3.5,
    )  # fmt: skip
    backend = Backend()
    job = job_of(tmp_path, settings, images, initial_affine=(matrix, (1.0, 2.0, 3.0)))
    execute(job, tmp_path, MessageWriter(io.BytesIO()), register=backend)
    call = backend.calls[0]
    np.testing.assert_allclose(
        call["initial_transform"].TransformPoint(point.tolist()),
        np.reshape(matrix, (3, 3)) @ point + (1.0, 2.0, 3.0),
    )
    assert call["fixed_mask"].GetPixelID() == sitk.sitkUInt8 and "moving_mask" not in call
    chosen = {key: call[key] for key in settings.__dict__}
    assert chosen == settings.__dict__

    field = compose_displacement(
        torch.zeros(1, 3, *fixed.GetSize()), Grid.from_image(fixed), call["initial_transform"],
        Grid.from_image(fixed),
    )  # fmt: skip
    job = job_of(tmp_path, settings, images | {"initial_displacement": field})
    execute(job, tmp_path, MessageWriter(io.BytesIO()), register=backend)
    found = backend.calls[1]["initial_transform"].TransformPoint(point.tolist())
    np.testing.assert_allclose(found, call["initial_transform"].TransformPoint(point.tolist()), atol=1e-3)
