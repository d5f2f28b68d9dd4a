"""What is wrong in a widget that passes all the same: values that a known component cannot have.

Data may hold what our classes do not know, such as a newer component or prop, and the client may
know it. A value that a known prop cannot have is a mistake; whoever built the widget is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.chatkit.tolerant_model import reported_elsewhere
from app.chatkit.warn_once import warn_once

Loc = tuple[str | int, ...]

KNOWN_CLASSES: dict[str, type[BaseModel]] = {}
"""The class of each type of component or root; filled where they are declared."""
_ONLY_CHILDREN = {"ListView": "ListViewItem", "Table": "Table.Row", "Table.Row": "Table.Cell"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A wrong value: where it is in the widget's data, and why."""

    loc: Loc
    reason: str

    @property
    def path(self) -> str:
        """The place as a JSON path, such as ``$.children[1].color``."""
        return "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in self.loc)

    def to_error(self, title: str, value: Any) -> ValidationError:
        """Return the error that a typed component would have raised."""
        reason = PydanticCustomError("widget_value", "{reason}", {"reason": self.reason})
        details = InitErrorDetails(type=reason, loc=self.loc, input=value)
        return ValidationError.from_exception_data(title, [details])


def warn_of_fault(value: object) -> None:
    """Log the first wrong value in a widget's data, if there is one."""
    if (fault := find_fault(value)) is not None:
        warn_once(f"A widget has a wrong value at {fault.path}: {fault.reason}")


def find_fault(value: object) -> Fault | None:
    """Return the first wrong value in a widget's data; components that are built are right."""
    with reported_elsewhere():
        return next(_faults(value, ()), None)


def _faults(value: object, loc: Loc) -> Iterator[Fault]:
    if isinstance(value, list):
        for index, each in enumerate(cast("list[object]", value)):
            yield from _faults(each, (*loc, index))
    elif isinstance(value, dict):
        data = cast("dict[str, Any]", value)
        kind = data.get("type")
        known_class = KNOWN_CLASSES.get(kind) if isinstance(kind, str) else None
        if known_class is not None:
            yield from _own_faults(known_class, data, loc)
        if (children := data.get("children")) is not None:
            expected = _ONLY_CHILDREN.get(str(kind))
            yield from _wrong_children(children, expected, (*loc, "children"))
            yield from _faults(children, (*loc, "children"))


def _own_faults(known_class: type[BaseModel], data: dict[str, Any], loc: Loc) -> Iterator[Fault]:
    """Yield what is wrong with a component's props, its children apart."""
    if "children" in known_class.model_fields:
        is_single = known_class.model_fields["type"].default == "Transition"
        data = {**data, "children": None if is_single else []}
    try:
        known_class.__pydantic_validator__.validate_python(data)
    except ValidationError as error:
        reasons: dict[Loc, list[str]] = {}
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            where = _within(data, each["loc"], is_missing=each["type"] == "missing")
            reasons.setdefault(where, []).append(each["msg"])
        for where, texts in sorted(reasons.items(), key=lambda each: -len(each[0])):
            yield Fault((*loc, *where), "; or: ".join(dict.fromkeys(texts)))


def _within(data: Any, loc: Loc, *, is_missing: bool) -> Loc:
    """Return the part of ``loc`` that leads into the data, without the names of a union's members.

    A key that is missing is the last part of it.
    """
    found: list[str | int] = []
    for at in loc:
        if isinstance(data, dict) and at in data:
            data = cast("dict[Any, Any]", data)[at]
        elif isinstance(data, list) and isinstance(at, int):
            data = cast("list[Any]", data)[at]
        else:
            continue
        found.append(at)
    return (*found, loc[-1]) if is_missing else tuple(found)


def _wrong_children(children: Any, expected: str | None, loc: Loc) -> Iterator[Fault]:
    if expected is None:
        return
    if isinstance(children, list):
        for index, each in enumerate(cast("list[Any]", children)):
            yield from _wrong_children(each, expected, (*loc, index))
    elif isinstance(children, dict) and cast("dict[str, Any]", children).get("type") != expected:
        yield Fault((*loc, "type"), f"Input should be '{expected}'")
