"""Data to widget classes, with nothing lost on the way."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

Typed = TypeVar("Typed", bound=BaseModel)
Open = TypeVar("Open", bound=BaseModel)


def load_lossless(
    data: dict[str, Any], classes: Mapping[str, type[Typed]], open_class: type[Open]
) -> Typed | Open:
    """Return the class for the data's ``type`` if it would write the data back, or ``open_class``.

    So a widget that typed code built loads as the same classes. One that came from a template, an
    older release or a newer one keeps the props and values that our classes do not have.
    """
    typed_class = class_for(data, classes)
    if typed_class is not None:
        with suppress(ValidationError):
            typed = typed_class.__pydantic_validator__.validate_python(data)
            if writes_back(typed, data):
                return typed
    return open_class.__pydantic_validator__.validate_python(data)


def class_for(data: dict[str, Any], classes: Mapping[str, type[Typed]]) -> type[Typed] | None:
    """Return the class that is registered for the data's ``type``, if any."""
    name = data.get("type")
    return classes.get(name) if isinstance(name, str) else None


def writes_back(value: object, data: object) -> bool:
    """Return whether ``value``, validated from ``data``, serialises to it again but for nulls."""
    if value is data:
        return True
    if isinstance(value, datetime):
        return to_jsonable_python(value) == data
    if not isinstance(value, BaseModel | dict | list):
        return type(value) is type(data) and value == data
    if isinstance(value, BaseModel):
        return isinstance(data, dict) and _props_write_back(value, cast(dict[str, Any], data))
    if isinstance(value, dict):
        return isinstance(data, dict) and _dict_writes_back(
            cast(dict[str, Any], value), cast(dict[str, Any], data)
        )
    return isinstance(data, list) and _list_writes_back(
        cast(list[object], value), cast(list[object], data)
    )


def _dict_writes_back(held: dict[str, Any], data: dict[str, Any]) -> bool:
    return held.keys() == data.keys() and all(
        writes_back(value, data[name]) for name, value in held.items()
    )


def _list_writes_back(held: list[object], data: list[object]) -> bool:
    return len(held) == len(data) and all(map(writes_back, held, data))


def _props_write_back(model: BaseModel, data: dict[str, Any]) -> bool:
    given = model.model_fields_set
    if not _written_defaults(type(model)) <= given:
        return False
    if any(name not in given and each is not None for name, each in data.items()):
        return False  # an unknown prop, which a typed class ignores
    held = model.__dict__
    for name in given:
        original = data[name]
        value = held.get(name, original)  # an undeclared prop is held as it was given
        if value is not original and not writes_back(value, original):
            return False
    return True


@cache
def _written_defaults(model_class: type[BaseModel]) -> frozenset[str]:
    """Return the fields that are written even when they were not given."""
    fields = model_class.model_fields
    return frozenset(name for name in fields if fields[name].get_default() is not None)
