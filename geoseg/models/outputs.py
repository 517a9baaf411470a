"""Outputs: the channels of a network, and what they mean."""

from geoseg.models.value import Name, Value


class Channel(Value):
    """One output of the softmax, and the class it counts towards: p(class) is the sum over its channels."""

    name: Name
    class_id: int
