"""How values lie in a vtkMRMLScriptedModuleNode: parameters as text, nodes as node references."""

import enum
import pathlib
import typing

from .serializerBases import Serializer, TextSerializer, ValidatedSerializer
from .types import FloatRange
from .util import isNodeOrUnionOfNodes, splitAnnotations
from .validators import IsInstance, NotNone, extractValidators


class NumberSerializer(TextSerializer):
    def __init__(self, type):
        self.type = type

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ in (int, float)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(NumberSerializer(type_), [NotNone()])

    def default(self):
        return self.type()

    def text(self, value) -> str:
        number = self.type(value)
        if number != value:
            raise ValueError(f"{value!r} is no {self.type.__name__}")
        return str(number)

    def value(self, text: str):
        return self.type(text)


class StringSerializer(TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is str

    @staticmethod
    def create(type_):
        return ValidatedSerializer(StringSerializer(), [NotNone(), IsInstance(str)])

    def default(self):
        return ""


class PathSerializer(TextSerializer):
    def __init__(self, pathtype):
        self.type = pathtype

    @staticmethod
    def canSerialize(type_) -> bool:
        return isinstance(type_, type) and issubclass(type_, pathlib.PurePath)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(PathSerializer(type_), [NotNone(), IsInstance((str, pathlib.PurePath))])

    def default(self):
        return self.type()

    def value(self, text: str):
        return self.type(text)


class BoolSerializer(TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is bool

    @staticmethod
    def create(type_):
        return ValidatedSerializer(BoolSerializer(), [NotNone(), IsInstance(bool)])

    def default(self):
        return False

    def value(self, text: str) -> bool:
        return text == "True"


class EnumSerializer(TextSerializer):
    def __init__(self, enum_):
        self.enum = enum_

    @staticmethod
    def canSerialize(type_) -> bool:
        return isinstance(type_, type) and issubclass(type_, enum.Enum)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(EnumSerializer(type_), [NotNone(), IsInstance(type_)])

    def default(self):
        return next(iter(self.enum))

    def text(self, value) -> str:
        return value.name

    def value(self, text: str):
        return self.enum[text]


class FloatRangeSerializer(TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is FloatRange

    @staticmethod
    def create(type_):
        return ValidatedSerializer(FloatRangeSerializer(), [NotNone(), IsInstance(FloatRange)])

    def default(self):
        return FloatRange()

    def text(self, value) -> str:
        return f"{value.minimum} {value.maximum}"

    def value(self, text: str):
        return FloatRange(*map(float, text.split()))


class NodeSerializer(Serializer):
    """A node reference: None once the node is deleted; it follows the node through saved scenes."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return isNodeOrUnionOfNodes(type_)

    @staticmethod
    def create(type_):
        alternatives = tuple(item for item in typing.get_args(type_) if item is not type(None)) or (type_,)
        return ValidatedSerializer(NodeSerializer(), [IsInstance(alternatives)])

    def default(self):
        return None

    def isIn(self, parameterNode, name: str) -> bool:
        return parameterNode.GetNodeReferenceID(name) is not None

    def write(self, parameterNode, name: str, value) -> None:
        if value is not None and value.GetID() is None:
            raise ValueError(f"the node {value.GetName()} is in no scene")
        parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, parameterNode, name):
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode, name) -> None:
        parameterNode.RemoveNodeReferenceIDs(name)


class ListSerializer(Serializer):
    """A list; a list read is a copy, and is written by assigning it."""

    def __init__(self, elementTypeSerializer):
        self._elementSerializer = elementTypeSerializer

    @staticmethod
    def canSerialize(type_) -> bool:
        return typing.get_origin(type_) is list

    @staticmethod
    def create(type_):
        element = createSerializerFromAnnotatedType(typing.get_args(type_)[0])
        return ValidatedSerializer(ListSerializer(element), [NotNone()])

    def default(self):
        return []

    def _lenName(self, name):
        return f"{name}__length"

    def _paramName(self, name, index):
        return f"{name}__{index}"

    def isIn(self, parameterNode, name: str) -> bool:
        return self._lenName(name) in parameterNode.GetParameterNames()

    def write(self, parameterNode, name: str, values) -> None:
        modifying = parameterNode.StartModify()
        self.remove(parameterNode, name)
        parameterNode.SetParameter(self._lenName(name), str(len(values)))
        for index, value in enumerate(values):
            self._elementSerializer.write(parameterNode, self._paramName(name, index), value)
        parameterNode.EndModify(modifying)

    def read(self, parameterNode, name):
        length = int(parameterNode.GetParameter(self._lenName(name)) or 0)
        return [self._elementSerializer.read(parameterNode, self._paramName(name, n)) for n in range(length)]

    def remove(self, parameterNode, name: str) -> None:
        length = int(parameterNode.GetParameter(self._lenName(name)) or 0)
        for index in range(length):
            self._elementSerializer.remove(parameterNode, self._paramName(name, index))
        parameterNode.UnsetParameter(self._lenName(name))


_serializers: list[type] = []


def parameterNodeSerializer(classtype=None):
    """Class decorator: the serializer takes part."""
    if classtype is None:
        return parameterNodeSerializer
    _serializers.append(classtype)
    return classtype


for _class in (
    NumberSerializer, StringSerializer, PathSerializer, BoolSerializer, EnumSerializer, FloatRangeSerializer,
    NodeSerializer, ListSerializer,
):  # fmt: skip
    parameterNodeSerializer(_class)


def createSerializer(type_, annotations):
    """Returns (the serializer of a type with the annotated validators, the other annotations)."""
    found = next((item for item in _serializers if item.canSerialize(type_)), None)
    if found is None:
        raise TypeError(f"the test host keeps no values of type {type_} in a parameter node")
    validators, rest = extractValidators(annotations)
    serializer = found.create(type_)
    return (ValidatedSerializer(serializer, validators) if validators else serializer), rest


def createSerializerFromAnnotatedType(annotatedType):
    """Returns the serializer of a type that may be annotated."""
    return createSerializer(*splitAnnotations(annotatedType))[0]
