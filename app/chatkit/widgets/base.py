"""What every widget component has in common."""

from typing import Any

from pydantic import Field, model_serializer

from app.chatkit.strict_model import StrictModel


class SparseModel(StrictModel):
    """A model that writes no nulls of its own, and every value it holds as it is.

    The serializer hands pydantic the props with the child models still inside. So each node is
    visited once, and free-form data (an action's payload, a prop nobody declared) is not searched
    for nulls.
    """

    type: str = Field(...)

    def wire_props(self) -> dict[str, Any]:
        """The props that go on the wire, with child models unserialised."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    # Without a return annotation, since that would replace the model's own JSON schema.
    @model_serializer(mode="plain")
    def _serialize(self):
        return self.wire_props()


class WidgetComponentBase(SparseModel):
    """Base of all components.

    `id` makes a component addressable for updates while the widget streams; `key` tells siblings
    apart when their order changes.
    """

    key: str | None = None
    id: str | None = None
    type: str = Field(...)
