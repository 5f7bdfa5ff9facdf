"""A worker with a torch that cannot pass arrays to NumPy, as in Slicer 5.10 for macOS."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from small_pairs import blob_pair, write_preset, write_weights
from worker_fixtures import job_of

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import to_array, to_tensor
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.execution import execute
from SACBRegistrationLib.worker.job import OUTPUTS, Structure, write_job
from SACBRegistrationLib.worker.messages import MessageWriter

REPOSITORY = Path(__file__).resolve().parents[2]

# torch looks for NumPy once, and where it then finds none that it knows, it does without for good.
WORK = """
import io, sys
from pathlib import Path

sys.modules["numpy"] = None
import torch

try:
    torch.zeros(1).numpy()
except RuntimeError:
    del sys.modules["numpy"]
import numpy

try:
    torch.from_numpy(numpy.zeros(1))
    sys.exit("torch passes arrays to NumPy after all")
except RuntimeError as error:
    assert "Numpy is not available" in str(error), error
torch.set_num_threads(1)
from SACBRegistrationLib.worker.execution import execute
from SACBRegistrationLib.worker.job import read_job
from SACBRegistrationLib.worker.messages import MessageWriter

folder = Path(sys.argv[1])
execute(read_job(folder), folder, MessageWriter(io.BytesIO()))
for name, module in list(sys.modules.items()):
    if name.startswith("SACBRegistrationLib"):
        print(module.__file__)
"""


def make_job(folder):
    """A pair with a structure and a point, and everything that can be made of it."""
    fixed, moving = blob_pair()
    folder.mkdir()
    labels = [image > 0.5 * float(sitk.GetArrayViewFromImage(image).max()) for image in (fixed, moving)]
    images = {"fixed": fixed, "moving": moving, "structure_0": labels[0], "structure_1": labels[1]}
    weights = write_weights(folder)
    settings = RegistrationSettings(
        preset=str(write_preset(folder, (32, 32, 32), 5.0)), weights=str(weights), device="cpu", refine=2
    )
    return job_of(
        folder,
        settings,
        images,
        structures={
            "fixed": (Structure("a", "structure_0", 1),),
            "moving": (Structure("a", "structure_1", 1),),
        },
        points={
            role: {"p": tuple(Grid.from_image(images[role]).center.tolist())} for role in ("fixed", "moving")
        },
        outputs=OUTPUTS,
    )


def test_a_worker_does_all_of_its_work(tmp_path):
    job = make_job(tmp_path / "without")
    write_job(job, tmp_path / "without")
    command = [sys.executable, "-c", WORK, str(tmp_path / "without")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        job = make_job(tmp_path / "with")
        result = execute(job, tmp_path / "with", MessageWriter(io.BytesIO()))
    finally:
        torch.set_num_threads(threads)
    assert {"displacement_field", "inverse_field", "warped", "jacobian"} <= set(result.images)
    for key, file in result.images.items():
        theirs, ours = (np.fromfile(tmp_path / side / file.name, file.dtype) for side in ("without", "with"))
        np.testing.assert_array_equal(theirs, ours, err_msg=key)

    # Of the rest of what a worker may do, nothing relies on torch's own way either.
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) > 60
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "torch.from_numpy" not in text and ".numpy()" not in text, file


def test_arrays_and_tensors_share_memory():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    tensor = to_tensor(array)
    array[1, 2, 3] = 7.5
    assert tensor[1, 2, 3] == 7.5 and tensor.dtype == torch.float32
    back = to_array(tensor.permute(2, 0, 1))
    array[0, 1, 2] = -3.0
    assert back.shape == (4, 2, 3) and back[2, 0, 1] == -3.0
    assert not back.flags.writeable


def test_arrays_of_any_kind_become_tensors():
    array = np.arange(24, dtype=np.int16).reshape(4, 6)
    read_only = array.copy()
    read_only.flags.writeable = False
    for each in (array[:, ::-2], array.T, read_only, array > 5, array[:0], array.astype(float)):
        tensor = to_tensor(each)
        assert tensor.shape == each.shape and tensor.tolist() == each.tolist()


def test_tensors_of_any_kind_become_arrays():
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    for each in (tensor, tensor.T, tensor > 2, tensor.to(torch.uint8), tensor[:0], tensor.sum()):
        array = to_array(each)
        assert array.shape == tuple(each.shape) and array.tolist() == each.tolist()
    with torch.inference_mode():
        assert to_array(torch.ones(2) * 3).tolist() == [3.0, 3.0]
