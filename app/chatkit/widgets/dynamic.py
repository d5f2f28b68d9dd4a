"""Components of any type, with any props: what templates and stored data are made of."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: see content.py.

from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.chatkit.widgets.base import WidgetComponentBase, as_data
from app.chatkit.widgets.faults import find_fault
from app.chatkit.widgets.nulls import without_nulls
from app.chatkit.widgets.values import (
    Alignment,
    BoxSpacing,
    Direction,
    Justification,
    Theme,
    Whole,
)


def _validate_open_child(value: object) -> Any:
    """Return a child of a dynamic component: data becomes dynamic too, instances stay."""
    value = as_data(value)
    if isinstance(value, WidgetComponentBase):
        return value
    if isinstance(value, list):
        return _OPEN_CHILDREN.validate_python(value)
    return DynamicWidgetComponent.__pydantic_validator__.validate_python(value)


_OPEN_CHILDREN = TypeAdapter(list[Annotated[Any, PlainValidator(_validate_open_child)]])


def _validate_open_children(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    value = as_data(value)
    if value is None:
        return None
    if isinstance(value, WidgetComponentBase | dict):
        return _validate_open_child(cast(object, value))
    return _OPEN_CHILDREN.validate_python(value)


class DynamicWidgetComponent(WidgetComponentBase):
    """A component from a template or from stored data: any type, any props, all of them kept.

    Its children may be components of any class, one or a list. A value that a known component
    cannot have is kept with a warning.
    """

    model_config = ConfigDict(extra="allow")

    children: Annotated[
        "DynamicWidgetComponent | list[DynamicWidgetComponent] | None",
        WrapValidator(_validate_open_children),
    ] = None

    def wire_props(self) -> dict[str, Any]:
        """Return the props as they came, without nulls."""
        props = {**self.__dict__, **(self.__pydantic_extra__ or {})}
        return without_nulls(props, as_it_is="children")

    @classmethod
    def _is_built(cls, data: Any) -> bool:
        return False  # its props may be wrong for the type that it has

    @classmethod
    def model_validate(cls, obj: Any, *, strict: bool | None = None, **options: Any) -> Self:
        """Return the component in ``obj``; ``strict`` refuses what known components cannot have."""
        if strict and (fault := find_fault(obj)) is not None:
            raise fault.to_error(cls.__name__, obj)
        return super().model_validate(obj, strict=strict, **options)


class BasicRoot(DynamicWidgetComponent):
    """A root without a frame, which may also hold other roots."""

    type: Literal["Basic"] = Field(default="Basic", frozen=True)
    theme: Theme | None = None
    direction: Direction | None = None
    gap: Whole | str | None = None
    padding: BoxSpacing | None = None
    align: Alignment | None = None
    justify: Justification | None = None


class DynamicWidgetRoot(DynamicWidgetComponent):
    """A root from a template or from stored data."""

    type: Literal["Card", "ListView", "Basic"]
