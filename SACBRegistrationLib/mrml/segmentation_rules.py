"""What Slicer knows of segmentations once its Segmentations module has started."""

import slicer


def ensure_conversion_rules() -> None:
    """Registers the conversions between label maps and surfaces, unless Slicer has done so already.

    MRML copies a segmentation's label maps and surfaces only when a rule knows them, which in plain Python
    none does.
    """
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    names = slicer.vtkSegmentationConverter
    wanted = (names.GetBinaryLabelmapRepresentationName(), names.GetClosedSurfaceRepresentationName())
    if all(factory.ConstructRepresentationObjectByRepresentation(name) is not None for name in wanted):
        return
    factory.RegisterConverterRule(slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule())
    factory.RegisterConverterRule(slicer.vtkClosedSurfaceToBinaryLabelmapConversionRule())
