"""Components that hold others, and the unions of all components and roots."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: see widget_content.py.

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.chatkit.actions import ActionConfig
from app.chatkit.tolerant_model import reported_elsewhere
from app.chatkit.widgets.base import WidgetComponentBase, as_data
from app.chatkit.widgets.charts import Chart
from app.chatkit.widgets.content import (
    Badge,
    Button,
    Caption,
    Divider,
    Icon,
    Image,
    Markdown,
    Spacer,
    Text,
    Title,
)
from app.chatkit.widgets.controls import (
    Checkbox,
    DatePicker,
    Input,
    Label,
    RadioGroup,
    Select,
    Textarea,
)
from app.chatkit.widgets.dynamic import BasicRoot, DynamicWidgetComponent, DynamicWidgetRoot
from app.chatkit.widgets.faults import KNOWN_CLASSES, warn_of_fault
from app.chatkit.widgets.loading import class_for, load_lossless
from app.chatkit.widgets.nulls import Sparse
from app.chatkit.widgets.values import (
    Alignment,
    BoxBorder,
    BoxSpacing,
    CardAction,
    CellAlign,
    Color,
    ColumnSize,
    Direction,
    Justification,
    Number,
    RadiusValue,
    Spacing,
    Theme,
    Whole,
    WidgetStatus,
)


def _validate_nestable(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """Return an element of a list of children: a child, or a list that holds more of them."""
    if not isinstance(value, list):
        return handler(value)
    each = PlainValidator(partial(_validate_nestable, handler=handler))
    return TypeAdapter(list[Annotated[Any, each]]).validate_python(value)


# As templates nest them, where one loop is inside another. The JSON schema stays the official one.
_NESTABLE = WrapValidator(_validate_nestable)


class ListViewItem(WidgetComponentBase):
    """One row of a ``ListView``; ``onClickAction`` makes the whole row a button."""

    type: Literal["ListViewItem"] = Field(default="ListViewItem", frozen=True)
    children: list["_ListedChild"]
    onClickAction: ActionConfig | None = None
    gap: Whole | str | None = None
    align: Alignment | None = None


class ListView(WidgetComponentBase):
    """A root that lists rows; those after ``limit`` hide behind a "show more" control."""

    type: Literal["ListView"] = Field(default="ListView", frozen=True)
    children: list[Annotated[ListViewItem, _NESTABLE]]
    limit: int | Literal["auto"] | None = None
    status: WidgetStatus | None = None
    theme: Theme | None = None


class Card(WidgetComponentBase):
    """The root for a boxed widget.

    ``confirm`` and ``cancel`` are buttons in its footer; with ``asForm`` they submit the inputs
    inside.
    """

    type: Literal["Card"] = Field(default="Card", frozen=True)
    asForm: bool | None = None
    children: list["_ListedChild"]
    background: Color | None = None
    border: BoxBorder | None = None
    size: Literal["sm", "md", "lg", "full"] | None = None
    padding: BoxSpacing | None = None
    status: WidgetStatus | None = None
    collapsed: bool | None = None
    confirm: CardAction | None = None
    cancel: CardAction | None = None
    theme: Theme | None = None


class BoxBase(BaseModel):
    """The props that all flex containers share."""

    children: list["_ListedChild"] | None = None
    align: Alignment | None = None
    justify: Justification | None = None
    wrap: Literal["nowrap", "wrap", "wrap-reverse"] | None = None
    flex: Whole | str | None = None
    gap: Whole | str | None = None
    height: Number | str | None = None
    width: Number | str | None = None
    size: Number | str | None = None
    minHeight: Whole | str | None = None
    minWidth: Whole | str | None = None
    minSize: Whole | str | None = None
    maxHeight: Whole | str | None = None
    maxWidth: Whole | str | None = None
    maxSize: Whole | str | None = None
    padding: BoxSpacing | None = None
    margin: BoxSpacing | None = None
    border: BoxBorder | None = None
    radius: RadiusValue | None = None
    background: Color | None = None
    aspectRatio: Number | str | None = None


class Box(WidgetComponentBase, BoxBase):
    """A flex container in either direction."""

    type: Literal["Box"] = Field(default="Box", frozen=True)
    direction: Direction | None = None


class Row(WidgetComponentBase, BoxBase):
    """Children side by side."""

    type: Literal["Row"] = Field(default="Row", frozen=True)


class Col(WidgetComponentBase, BoxBase):
    """Children below each other."""

    type: Literal["Col"] = Field(default="Col", frozen=True)


class Form(WidgetComponentBase, BoxBase):
    """A container whose inputs are merged into the payload of ``onSubmitAction``."""

    type: Literal["Form"] = Field(default="Form", frozen=True)
    onSubmitAction: ActionConfig | None = None
    direction: Direction | None = None


class Transition(WidgetComponentBase):
    """Animates the change of its one child."""

    type: Literal["Transition"] = Field(default="Transition", frozen=True)
    children: "_Child | None"


class TableCell(WidgetComponentBase):
    """A cell of a ``TableRow``, over ``colSpan`` columns and ``rowSpan`` rows."""

    type: Literal["Table.Cell"] = Field(default="Table.Cell", frozen=True)
    children: list["_ListedChild"] | None = None
    width: Number | str | None = None
    padding: Annotated[Spacing, Sparse] | None = None
    colSpan: int | None = None
    rowSpan: int | None = None
    align: CellAlign | None = None
    vAlign: CellAlign | None = None
    colSize: ColumnSize | None = None


class TableRow(WidgetComponentBase):
    """A row of a ``Table``; ``header`` sets it off as the head."""

    type: Literal["Table.Row"] = Field(default="Table.Row", frozen=True)
    children: list[Annotated[TableCell, _NESTABLE]] | None = None
    header: bool | None = None


class Table(WidgetComponentBase):
    """Rows of cells."""

    type: Literal["Table"] = Field(default="Table", frozen=True)
    children: list[Annotated[TableRow, _NESTABLE]] | None = None


StrictWidgetComponent = Annotated[
    Text
    | Title
    | Caption
    | Chart
    | Badge
    | Markdown
    | Box
    | Row
    | Col
    | Divider
    | Icon
    | Image
    | ListViewItem
    | Button
    | Checkbox
    | Spacer
    | Select
    | DatePicker
    | Form
    | Input
    | Label
    | RadioGroup
    | Textarea
    | Transition
    | Table
    | TableRow
    | TableCell,
    Field(discriminator="type"),
]

StrictWidgetRoot = Annotated[Card | ListView | BasicRoot, Field(discriminator="type")]


def _classes_by_type(union: Any) -> dict[str, type[WidgetComponentBase]]:
    members = get_args(get_args(union)[0])
    return {member.model_fields["type"].default: member for member in members}


_COMPONENT_CLASSES = _classes_by_type(StrictWidgetComponent)
_ROOT_CLASSES = _classes_by_type(StrictWidgetRoot)
KNOWN_CLASSES.update(_COMPONENT_CLASSES | _ROOT_CLASSES)


def _validate_child(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    """Return a child of a typed component; data is checked like one built by keyword."""
    value = as_data(value)
    if isinstance(value, dict):
        data = cast(dict[str, Any], value)
        child_class = class_for(data, _COMPONENT_CLASSES) or DynamicWidgetComponent
        return child_class.__pydantic_validator__.validate_python(data)
    return _component(value)


def _validate_listed_child(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, list):
        return _LISTED_CHILDREN.validate_python(value)
    return _validate_child(value, handler)


def load_root(data: dict[str, Any]) -> Any:
    """Return the widget in stored data; raises ``ValidationError`` for an unknown root."""
    with reported_elsewhere():
        return load_lossless(data, _ROOT_CLASSES, DynamicWidgetRoot)


def _validate_component(
    value: object, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    value = as_data(value)
    if not isinstance(value, dict):
        return _component(value)
    with reported_elsewhere():
        data = cast(dict[str, Any], value)
        component = load_lossless(data, _COMPONENT_CLASSES, DynamicWidgetComponent)
    if info.mode == "python":  # not read from a store
        warn_of_fault(data)
    return component


def _validate_root(
    value: object, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    value = as_data(value)
    if isinstance(value, dict):
        root = load_root(cast(dict[str, Any], value))
        if info.mode == "python":
            warn_of_fault(cast(object, value))
        return root
    if isinstance(value, Card | ListView | BasicRoot | DynamicWidgetRoot):
        return value
    raise PydanticCustomError(
        "widget_root", "Input should be a widget: a Card, a ListView or a Basic"
    )


def _component(value: object) -> WidgetComponentBase:
    if isinstance(value, WidgetComponentBase) and not isinstance(value, Card | ListView):
        return value
    raise PydanticCustomError(
        "widget_component", "Input should be a widget component that is not a root"
    )


# Inside typed components: a child that is wrong fails there, whether built or given as data.
_Child = Annotated[StrictWidgetComponent | DynamicWidgetComponent, WrapValidator(_validate_child)]
if TYPE_CHECKING:
    _ListedChild = StrictWidgetComponent | DynamicWidgetComponent | list[Any]
else:
    _ListedChild = Annotated[
        StrictWidgetComponent | DynamicWidgetComponent, WrapValidator(_validate_listed_child)
    ]
_LISTED_CHILDREN: TypeAdapter[Any] = TypeAdapter(list[_ListedChild])

# As a value of its own (in an item, an event, the store): data is never lost. The dumps skip the
# unions, since every component knows how to serialise itself.
WidgetComponent = Annotated[
    SerializeAsAny[StrictWidgetComponent | DynamicWidgetComponent],
    WrapValidator(_validate_component),
]
WidgetRoot = Annotated[
    SerializeAsAny[StrictWidgetRoot | DynamicWidgetRoot], WrapValidator(_validate_root)
]
