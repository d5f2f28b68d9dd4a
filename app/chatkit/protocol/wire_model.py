"""The base of what goes over the wire."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Takes, where it is one of a kind, any object that has the fields of its kind.

    So models that a library has made of the official package's classes are as good as ours.
    """

    model_config = ConfigDict(from_attributes=True)
