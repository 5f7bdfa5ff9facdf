"""Reading annotated types."""

import types
import typing

import slicer


def splitAnnotations(possiblyAnnotatedType):
    """Returns (the plain type, the list of its annotations)."""
    if typing.get_origin(possiblyAnnotatedType) is typing.Annotated:
        plain, *annotations = typing.get_args(possiblyAnnotatedType)
        return plain, list(annotations)
    return possiblyAnnotatedType, []


def unannotatedType(possiblyAnnotatedType):
    """Returns the type without its annotations."""
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList, annotationType):
    """Returns the first annotation of a type, or None."""
    return next((item for item in annotationsList if isinstance(item, annotationType)), None)


def splitPossiblyDottedName(possiblyDottedName):
    """Returns (the part before the first dot, the rest or None)."""
    first, _, rest = possiblyDottedName.partition(".")
    return first, rest or None


def _alternatives(datatype):
    plain = unannotatedType(datatype)
    if typing.get_origin(plain) in (typing.Union, types.UnionType):
        return [item for item in typing.get_args(plain) if item is not type(None)]
    return [plain]


def isNodeOrUnionOfNodes(datatype) -> bool:
    """Whether all values of the type are nodes (or None)."""
    found = _alternatives(datatype)
    return bool(found) and all(
        isinstance(item, type) and issubclass(item, slicer.vtkMRMLNode) for item in found
    )


def getNodeTypes(datatype):
    """Returns the class names of the nodes the type allows."""
    return [item.__name__ for item in _alternatives(datatype)]
