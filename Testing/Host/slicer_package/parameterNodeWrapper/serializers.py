"""How values lie in a vtkMRMLScriptedModuleNode: parameters as text, nodes as node references."""

import abc
import enum
import pathlib
import typing

from .types import FloatRange
from .util import isNodeOrUnionOfNodes, splitAnnotations
from .validators import IsInstance, NotNone, extractValidators


class Serializer(abc.ABC):
    """Puts values of one type into a parameter node and gets them out."""

    @staticmethod
    @abc.abstractmethod
    def canSerialize(type_) -> bool:
        """Whether this class is for the type."""

    @staticmethod
    @abc.abstractmethod
    def create(type_):
        """Makes the serializer for the type."""

    @abc.abstractmethod
    def default(self):
        """The value of a parameter without a default of its own."""

    @abc.abstractmethod
    def isIn(self, parameterNode, name: str) -> bool:
        """Whether the node has the parameter."""

    @abc.abstractmethod
    def write(self, parameterNode, name: str, value) -> None:
        """Puts the value in."""

    @abc.abstractmethod
    def read(self, parameterNode, name: str):
        """Gets the value out."""

    @abc.abstractmethod
    def remove(self, parameterNode, name: str) -> None:
        """Takes the parameter out."""

    @staticmethod
    def supportsCaching() -> bool:
        return False


class _Text(Serializer):
    """A value that is one text."""

    def isIn(self, parameterNode, name: str) -> bool:
        return name in parameterNode.GetParameterNames()

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, self.text(value))

    def read(self, parameterNode, name: str):
        return self.value(parameterNode.GetParameter(name))

    def remove(self, parameterNode, name: str) -> None:
        parameterNode.UnsetParameter(name)

    def text(self, value) -> str:
        return str(value)

    def value(self, text: str):
        return text


class NumberSerializer(_Text):
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


class StringSerializer(_Text):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is str

    @staticmethod
    def create(type_):
        return ValidatedSerializer(StringSerializer(), [NotNone(), IsInstance(str)])

    def default(self):
        return ""


class PathSerializer(_Text):
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


class BoolSerializer(_Text):
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


class EnumSerializer(_Text):
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


class FloatRangeSerializer(_Text):
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


class ValidatedSerializer(Serializer):
    """A serializer that refuses wrong values."""

    def __init__(self, serializer, validators):
        self.serializer, self.validators = serializer, validators

    @staticmethod
    def canSerialize(type_) -> bool:
        return False

    @staticmethod
    def create(type_):
        raise TypeError("made for another serializer, not for a type")

    def default(self):
        return self.serializer.default()

    def isIn(self, parameterNode, name):
        return self.serializer.isIn(parameterNode, name)

    def validate(self, value):
        for validator in self.validators:
            validator.validate(value)

    def write(self, parameterNode, name, value):
        self.validate(value)
        self.serializer.write(parameterNode, name, value)

    def read(self, parameterNode, name):
        return self.serializer.read(parameterNode, name)

    def remove(self, parameterNode, name):
        self.serializer.remove(parameterNode, name)


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
