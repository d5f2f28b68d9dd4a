"""What every widget component has in common."""

from typing import Any

from pydantic import BaseModel, Field, model_serializer

from app.chatkit.tolerant_model import TolerantModel
from app.chatkit.widgets.faults import warn_of_fault
from app.chatkit.widgets.nulls import without_nulls


def as_data(value: object) -> object:
    """Return a model of another package's classes as the data that it writes."""
    if isinstance(value, BaseModel) and not isinstance(value, SparseModel):
        return value.model_dump(by_alias=True)
    return value


class SparseModel(TolerantModel):
    """A model that writes no nulls, but those of free-form data: actions' payloads, chart rows.

    The serializer hands pydantic the props with the child models still inside, so that each node is
    visited once.
    """

    type: str = Field(...)

    def wire_props(self) -> dict[str, Any]:
        """Return the props that go on the wire, with child models unserialised."""
        return without_nulls(self.__dict__, as_it_is="children")

    # Without a return annotation, since that would replace the model's own JSON schema.
    @model_serializer(mode="plain")
    def _serialize(self):
        return self.wire_props()


class WidgetComponentBase(SparseModel):
    """Base of all components.

    ``id`` makes a component addressable for updates while the widget streams; ``key`` tells
    siblings apart when their order changes.
    """

    key: str | None = None
    id: str | None = None
    type: str = Field(...)

    @classmethod
    def _report(cls, data: Any, model: BaseModel) -> None:
        super()._report(data, model)
        warn_of_fault(data)
