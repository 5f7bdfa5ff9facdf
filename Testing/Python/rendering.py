"""Offscreen slice views for tests, where the machine can render at all."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from mrml_fixtures import slicer  # noqa: F401  skips where slicer-core is missing

_TRY = """
import sys, vtk
from vtk.util.numpy_support import vtk_to_numpy
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(True)
window.SetSize(8, 8)
renderer = vtk.vtkRenderer()
renderer.SetBackground(0, 1, 0)
window.AddRenderer(renderer)
window.Render()
grab = vtk.vtkWindowToImageFilter()
grab.SetInput(window)
grab.ReadFrontBufferOff()
grab.Update()
pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
sys.exit(0 if (pixels[:, :3] == (0, 255, 0)).all() else 1)
"""


@functools.cache
def _can_render() -> bool:
    # In a process of its own: VTK ends the process where there is no OpenGL.
    done = subprocess.run([sys.executable, "-c", _TRY], capture_output=True, timeout=120)
    return done.returncode == 0


def require_rendering() -> None:
    """Skips the calling test, saying why, where VTK cannot render without a window."""
    if not _can_render():
        pytest.skip(
            "VTK cannot render without a window here; "
            "on Debian install libegl1 libgl1 libgl1-mesa-dri libosmesa6"
        )


def pixel_points(view) -> np.ndarray:
    """Where a view's pixels lie, [height, width, 3] LPS mm, top row first."""
    to_ras = view.node.GetXYToRAS()
    matrix = np.array([[to_ras.GetElement(row, column) for column in range(4)] for row in range(4)])
    width, height = view.node.GetDimensions()[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height)[::-1])
    index = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1)
    return (index @ matrix.T)[..., :3] * (-1, -1, 1)


def places_in(view, points: np.ndarray) -> np.ndarray:
    """Columns and rows (from the top) of LPS points [n, 3] in a view, [n, 2]."""
    to_ras = view.node.GetXYToRAS()
    matrix = np.array([[to_ras.GetElement(row, column) for column in range(4)] for row in range(4)])
    ras = np.concatenate([points * (-1, -1, 1), np.ones((len(points), 1))], axis=1)
    index = ras @ np.linalg.inv(matrix).T
    return np.stack([index[:, 0], view.node.GetDimensions()[1] - 1 - index[:, 1]], axis=1)
