"""A model that refuses keywords it does not know."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def hide_strictness(schema: dict[str, Any]) -> None:
    """Keep `additionalProperties: false` out of the JSON schema: the wire itself is open."""
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]


CLOSED = ConfigDict(extra="forbid", json_schema_extra=hide_strictness)


class StrictModel(BaseModel):
    """Base of what application code builds by keyword, where a typing error must not pass."""

    model_config = CLOSED
