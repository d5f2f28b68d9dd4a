"""A model that ignores keywords it does not know, as the official classes do, and says so."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from app.chatkit.warn_once import warn_once

_is_reported: ContextVar[bool] = ContextVar("is_reported", default=False)


@contextmanager
def reported_elsewhere() -> Generator[None]:
    """Validate without warnings: the data was looked at before, or its caller does it."""
    token = _is_reported.set(True)
    try:
        yield
    finally:
        _is_reported.reset(token)


class TolerantModel(BaseModel):
    """Base of what application code builds by keyword.

    An unknown keyword, also in values and children that are given as data, is ignored with one
    warning that names all of them. An object of another package's class of the same kind will do.
    """

    model_config = ConfigDict(from_attributes=True)

    @model_validator(mode="wrap")
    @classmethod
    def _report_ignored(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if _is_reported.get():
            return handler(data)
        # Not with the context manager: every widget that is built in code comes here.
        token = _is_reported.set(True)
        try:
            model = handler(data)
        finally:
            _is_reported.reset(token)
        if not cls._is_built(data):
            cls._report(data, model)
        return model

    @classmethod
    def _is_built(cls, data: Any) -> bool:
        """Return whether all of ``data`` is known, and made of models that have been looked at."""
        return (
            isinstance(data, dict)
            and cast("dict[str, Any]", data).keys() <= cls.__pydantic_fields__.keys()
            and not any(map(_holds_data, cast("dict[str, Any]", data).values()))
        )

    @classmethod
    def _report(cls, data: Any, model: BaseModel) -> None:
        """Warn of what is wrong with ``data``, from which ``model`` was made."""
        if ignored := list(_ignored(data, model, cls.__name__)):
            warn_once(f"Ignored unknown props: {', '.join(ignored)}")


def _holds_data(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict | list) for each in cast("list[object]", value))
    return isinstance(value, dict)


def _ignored(data: object, held: object, path: str) -> Iterator[str]:
    """Yield the paths of what ``data`` has and ``held``, which was made of it, has not."""
    if held is data:
        return
    if isinstance(data, list) and isinstance(held, list):
        items, others = cast("list[Any]", data), cast("list[Any]", held)
        if len(items) == len(others):
            for index, each in enumerate(items):
                yield from _ignored(each, others[index], f"{path}[{index}]")
    elif isinstance(data, dict) and isinstance(held, BaseModel | dict):
        values = _values_of(cast("BaseModel | dict[Any, Any]", held))
        for name, each in cast("dict[str, Any]", data).items():
            if name in values:
                yield from _ignored(each, values[name], f"{path}.{name}")
            elif each is not None:
                yield f"{path}.{name}"


def _values_of(held: BaseModel | dict[Any, Any]) -> dict[str, Any]:
    if isinstance(held, BaseModel):
        return {**held.__dict__, **(held.model_extra or {})}
    return held
