"""Slicer's own slice views, rendered without a window: its slice logic and its displayable managers."""

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)


class SliceViews:
    """The scene and the application logic that slice views need; use it in a with statement."""

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.scene)
        self.logic.GetColorLogic().SetMRMLScene(self.scene)
        self.logic.GetColorLogic().AddDefaultColorNodes()
        self.logic.SetSliceLogics(vtk.vtkCollection())
        patient_right_is_left_on_screen = True
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, patient_right_is_left_on_screen)
        self._views = []

    def add(self, orientation: str, size: tuple[int, int]) -> "SliceView":
        """Adds a view: "Axial", "Coronal" or "Sagittal", width and height in pixels."""
        view = SliceView(self, f"{orientation}{len(self._views)}", orientation, size)
        self._views.append(view)
        return view

    def close(self) -> None:
        for view in self._views:
            view.close()

    def __enter__(self) -> "SliceViews":
        return self

    def __exit__(self, *error) -> None:
        self.close()


class SliceView:
    """One slice view."""

    def __init__(self, views: SliceViews, name: str, orientation: str, size: tuple[int, int]):
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(8)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)

        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(views.logic)
        views.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(views.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.logic.ResizeSliceNode(*size)

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
        for manager in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(factory, self._renderer)
        self._managers.SetMRMLDisplayableNode(self.node)

    def fit(self) -> None:
        """Shows the whole background volume, on its voxels' own planes where they are near."""
        self.logic.FitSliceToBackground()

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
        self._managers.SetMRMLDisplayableNode(None)
        self._window.Finalize()
