"""Components that hold others, and the unions of all components and roots."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: see widget_content.py.

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.chatkit.actions import ActionConfig
from app.chatkit.widgets.base import WidgetComponentBase
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
from app.chatkit.widgets.loading import class_for, load_lossless
from app.chatkit.widgets.values import (
    Alignment,
    Border,
    Borders,
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
    WidgetStatus,
)


def _validate_open_child(value: object) -> Any:
    """A child of a dynamic component: data becomes dynamic too, instances stay what they are."""
    if isinstance(value, WidgetComponentBase):
        return value
    if isinstance(value, list):
        return _OPEN_CHILDREN.validate_python(value)
    return DynamicWidgetComponent.model_validate(value)


_OPEN_CHILDREN = TypeAdapter(list[Annotated[Any, PlainValidator(_validate_open_child)]])


def _validate_open_children(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    if value is None:
        return None
    if isinstance(value, WidgetComponentBase | dict):
        return _validate_open_child(cast(object, value))
    return _OPEN_CHILDREN.validate_python(value)


def _validate_nestable(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """An element of a list of children: a child, or a list that holds more of them."""
    if not isinstance(value, list):
        return handler(value)
    each = PlainValidator(partial(_validate_nestable, handler=handler))
    return TypeAdapter(list[Annotated[Any, each]]).validate_python(value)


# As templates nest them, where one loop is inside another. The JSON schema stays the official one.
_NESTABLE = WrapValidator(_validate_nestable)


class DynamicWidgetComponent(WidgetComponentBase):
    """A component from a template or from stored data: any type, any props, all of them kept.

    Its children may be components of any class, one or a list.
    """

    model_config = ConfigDict(extra="allow")

    children: Annotated[
        "DynamicWidgetComponent | list[DynamicWidgetComponent] | None",
        WrapValidator(_validate_open_children),
    ] = None

    def wire_props(self) -> dict[str, Any]:
        """The props as they came; only where the type is a known one, a null means absent."""
        extra = self.__pydantic_extra__ or {}
        if self.type in _KNOWN_TYPES:
            extra = {name: value for name, value in extra.items() if value is not None}
        return super().wire_props() | extra


class ListViewItem(WidgetComponentBase):
    """One row of a `ListView`; `onClickAction` makes the whole row a button."""

    type: Literal["ListViewItem"] = Field(default="ListViewItem", frozen=True)
    children: list["_ListedChild"]
    onClickAction: ActionConfig | None = None
    gap: int | str | None = None
    align: Alignment | None = None


class ListView(WidgetComponentBase):
    """A root that lists rows; those after `limit` hide behind a "show more" control."""

    type: Literal["ListView"] = Field(default="ListView", frozen=True)
    children: list[Annotated[ListViewItem, _NESTABLE]]
    limit: int | Literal["auto"] | None = None
    status: WidgetStatus | None = None
    theme: Theme | None = None


class Card(WidgetComponentBase):
    """The root for a boxed widget.

    `confirm` and `cancel` are buttons in its footer; with `asForm` they submit the inputs inside.
    """

    type: Literal["Card"] = Field(default="Card", frozen=True)
    asForm: bool | None = None
    children: list["_ListedChild"]
    background: Color | None = None
    size: Literal["sm", "md", "lg", "full"] | None = None
    padding: Number | str | Spacing | None = None
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
    flex: int | str | None = None
    gap: int | str | None = None
    height: Number | str | None = None
    width: Number | str | None = None
    size: Number | str | None = None
    minHeight: int | str | None = None
    minWidth: int | str | None = None
    minSize: int | str | None = None
    maxHeight: int | str | None = None
    maxWidth: int | str | None = None
    maxSize: int | str | None = None
    padding: Number | str | Spacing | None = None
    margin: Number | str | Spacing | None = None
    border: int | Border | Borders | None = None
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
    """A container whose inputs are merged into the payload of `onSubmitAction`."""

    type: Literal["Form"] = Field(default="Form", frozen=True)
    onSubmitAction: ActionConfig | None = None
    direction: Direction | None = None


class Transition(WidgetComponentBase):
    """Animates the change of its one child."""

    type: Literal["Transition"] = Field(default="Transition", frozen=True)
    children: "_Child | None"


class TableCell(WidgetComponentBase):
    """A cell of a `TableRow`, over `colSpan` columns and `rowSpan` rows."""

    type: Literal["Table.Cell"] = Field(default="Table.Cell", frozen=True)
    children: list["_ListedChild"] | None = None
    width: Number | str | None = None
    padding: Spacing | None = None
    colSpan: int | None = None
    rowSpan: int | None = None
    align: CellAlign | None = None
    vAlign: CellAlign | None = None
    colSize: ColumnSize | None = None


class TableRow(WidgetComponentBase):
    """A row of a `Table`; `header` sets it off as the head."""

    type: Literal["Table.Row"] = Field(default="Table.Row", frozen=True)
    children: list[Annotated[TableCell, _NESTABLE]] | None = None
    header: bool | None = None


class Table(WidgetComponentBase):
    """Rows of cells."""

    type: Literal["Table"] = Field(default="Table", frozen=True)
    children: list[Annotated[TableRow, _NESTABLE]] | None = None


class BasicRoot(DynamicWidgetComponent):
    """A root without a frame, which may also hold other roots."""

    type: Literal["Basic"] = Field(default="Basic", frozen=True)


class DynamicWidgetRoot(DynamicWidgetComponent):
    """A root from a template or from stored data."""

    type: Literal["Card", "ListView", "Basic"]


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
_KNOWN_TYPES = _COMPONENT_CLASSES.keys() | _ROOT_CLASSES.keys()


def _validate_child(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    """A child of a typed component. Given as data it is checked like one built by keyword."""
    if isinstance(value, dict):
        data = cast(dict[str, Any], value)
        child_class = class_for(data, _COMPONENT_CLASSES) or DynamicWidgetComponent
        return child_class.model_validate(data)
    return _component(value)


def _validate_listed_child(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, list):
        return _LISTED_CHILDREN.validate_python(value)
    return _validate_child(value, handler)


def _load_component(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, dict):
        data = cast(dict[str, Any], value)
        return load_lossless(data, _COMPONENT_CLASSES, DynamicWidgetComponent)
    return _component(value)


def _load_root(value: object, _handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, dict):
        return load_lossless(cast(dict[str, Any], value), _ROOT_CLASSES, DynamicWidgetRoot)
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
    SerializeAsAny[StrictWidgetComponent | DynamicWidgetComponent], WrapValidator(_load_component)
]
WidgetRoot = Annotated[
    SerializeAsAny[StrictWidgetRoot | DynamicWidgetRoot], WrapValidator(_load_root)
]
