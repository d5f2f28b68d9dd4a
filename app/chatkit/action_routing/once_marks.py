"""What makes two actions the same one, for those that are to run once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python


def payload_mark(payload: BaseModel) -> str:
    """Return a text that is the same for equal payloads, however they were written.

    Made of what was parsed: an ignored key does not count, nor whether a default was spelt out, nor
    the order of a set, nor the zone that a time was given in.
    """
    return json.dumps(_plain(payload), sort_keys=True)


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return dict(_telling_fields(value))
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat()
        case SecretStr() | SecretBytes():
            return _plain(value.get_secret_value())
        case set() | frozenset():
            each = [_plain(each) for each in cast("set[Any]", value)]
            return sorted(each, key=lambda part: json.dumps(part, sort_keys=True))
        case list() | tuple():
            return [_plain(each) for each in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[Any, Any]", value).items()
            return {str(name): _plain(each) for name, each in pairs}
        case float() if value.is_integer():
            return int(value)
        case bool() | int() | float() | str() | None:
            return value
        case _:
            return to_jsonable_python(value, fallback=repr)


def _telling_fields(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the fields whose values are not their defaults, the time of parsing among them."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        is_made_up = field.default_factory is not None and name not in model.model_fields_set
        if not is_made_up and (field.is_required() or value != _default_of(field)):
            yield name, _plain(value)
    for name, value in (model.model_extra or {}).items():
        yield name, _plain(value)


def _default_of(field: FieldInfo) -> Any:
    if field.default_factory is None or field.default_factory_takes_validated_data:
        return field.default
    return field.get_default(call_default_factory=True)
