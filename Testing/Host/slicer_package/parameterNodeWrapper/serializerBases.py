"""The bases of all serializers."""

import abc


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


class TextSerializer(Serializer):
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
