"""Stand-ins for Slicer's number widgets that know units."""

from typing import Any

from host.pythonqt.members import host_property, slot
from host.widgets.ctk_numbers import ctkDoubleSpinBox, ctkSliderWidget


class qMRMLSliderWidget(ctkSliderWidget):
    """A slider for a quantity of the scene's units."""

    python_module = "slicer"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._quantity, self._scene = "", None

    @host_property(str)
    def quantity(self) -> str:
        return self._quantity

    @quantity.setter
    def quantity(self, value: str) -> None:
        self._quantity = value

    @slot("setQuantity(QString)")
    def setQuantity(self, value: str) -> None:
        self.quantity = value

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._scene


class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box for a quantity of the scene's units."""

    python_module = "slicer"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._quantity, self._scene = "", None

    @host_property(str)
    def quantity(self) -> str:
        return self._quantity

    @quantity.setter
    def quantity(self, value: str) -> None:
        self._quantity = value

    @slot("setQuantity(QString)")
    def setQuantity(self, value: str) -> None:
        self.quantity = value

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._scene
