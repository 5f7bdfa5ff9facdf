"""Slicer's own slice views, rendered without a window: its slice logic and its displayable managers."""

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

PLANES = ("Axial", "Coronal", "Sagittal")
_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)


class SliceViews:
    """A scene with three slice views, as in Slicer's usual layout; use it in a with statement.

    Attributes:
        scene: The scene.
        logic: The application logic.
        views: Plane to view.
    """

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.scene)
        self.logic.GetColorLogic().SetMRMLScene(self.scene)
        self.logic.GetColorLogic().AddDefaultColorNodes()
        self.logic.SetSliceLogics(vtk.vtkCollection())
        patient_right_is_left_on_screen = True
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, patient_right_is_left_on_screen)
        self.views = {plane: SliceView(self, plane) for plane in PLANES}

    def __enter__(self) -> "SliceViews":
        return self

    def __exit__(self, *error) -> None:
        for view in self.views.values():
            view.close()


class SliceView:
    """One slice view."""

    def __init__(self, views: SliceViews, plane: str):
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(8)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)

        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(views.logic)
        views.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(views.scene)
        self.node = self.logic.AddSliceNode(plane)
        self.node.SetOrientation(plane)

        # The slice arrives as colours of 0 to 255; window and level were applied before.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(actor)

        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(views.logic)
        for manager in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(factory, self._renderer)
        self._managers.SetMRMLDisplayableNode(self.node)

    @property
    def composite(self) -> slicer.vtkMRMLSliceCompositeNode:
        """The layers of the view."""
        return self.logic.GetSliceCompositeNode()

    def look_at(self, center_lps: np.ndarray, mm_per_pixel: float, size: tuple[int, int]) -> None:
        """Sets the size of the view in pixels, its zoom, and the point in its middle."""
        self._window.SetSize(*size)
        self.logic.ResizeSliceNode(*size)
        self.node.JumpSliceByCentering(*(np.asarray(center_lps) * (-1, -1, 1)))
        self.node.SetFieldOfView(size[0] * mm_per_pixel, size[1] * mm_per_pixel, 1.0)

    def pixels(self) -> np.ndarray:
        """Renders; returns [height, width, 3] of 0 to 255, top row first."""
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        return values.reshape(*image.GetDimensions()[1::-1], -1)[::-1].copy()

    def close(self) -> None:
        """Lets go of the scene and of the graphics memory."""
        self._managers.SetMRMLDisplayableNode(None)
        self._window.Finalize()
