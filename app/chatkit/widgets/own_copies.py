"""Copies of a template's data, so that what the template appends to is its own."""

import copy
import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

MUTABLE = (list, dict, set, bytearray, deque)


def own_copy(value: Any) -> Any:
    """Return ``value`` with its containers, models and dataclasses copied, however deep.

    Other objects stay what they are: a copy of a database row, say, would be none of its session.
    """
    return _copy(value, {})


def is_own(value: object) -> bool:
    """Return whether ``value`` is of a kind that is copied, or has nothing inside."""
    return isinstance(value, (*MUTABLE, tuple, str, bytes, BaseModel)) or _is_dataclass_object(
        value
    )


def _copy(value: Any, known: dict[int, Any]) -> Any:
    if id(value) in known:
        return known[id(value)]
    match value:
        case str() | bytes() | int() | float() | None:
            return value
        case dict():
            clone = _remember(copy.copy(cast("dict[Any, Any]", value)), value, known)
            for name, each in cast("dict[Any, Any]", value).items():
                clone[name] = _copy(each, known)
            return clone
        case list() | deque():
            clone = _remember(copy.copy(cast("list[Any]", value)), value, known)
            for index, each in enumerate(cast("list[Any]", value)):
                clone[index] = _copy(each, known)
            return clone
        case tuple():
            kind: Any = type(cast("tuple[Any, ...]", value))
            create = getattr(kind, "_make", kind)
            return create([_copy(each, known) for each in cast("tuple[Any, ...]", value)])
        case set() | bytearray():
            return copy.copy(cast("set[Any]", value))
        case BaseModel():
            return _copy_attributes(value, value.__dict__, known)
        case _ if _is_dataclass_object(value):
            names = [each.name for each in dataclasses.fields(value) if hasattr(value, each.name)]
            return _copy_attributes(value, {name: getattr(value, name) for name in names}, known)
        case _:
            return value


def _copy_attributes(value: Any, attributes: Mapping[str, Any], known: dict[int, Any]) -> Any:
    """Return a copy of an object that may be frozen, with its attributes copied."""
    clone = _remember(copy.copy(value), value, known)
    for name, each in dict(attributes).items():
        object.__setattr__(clone, name, _copy(each, known))
    if extra := getattr(value, "__pydantic_extra__", None):
        object.__setattr__(clone, "__pydantic_extra__", _copy(extra, known))
    return clone


def _remember(clone: Any, value: Any, known: dict[int, Any]) -> Any:
    """Note the copy before it is filled: data may hold itself."""
    known[id(value)] = clone
    return clone


def _is_dataclass_object(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
