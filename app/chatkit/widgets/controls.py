"""The inputs of a form. Each submits its value in the action's payload under ``name``."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: see widget_content.py.

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.chatkit.actions import ActionConfig
from app.chatkit.widgets.base import WidgetComponentBase
from app.chatkit.widgets.nulls import Sparse
from app.chatkit.widgets.values import (
    Color,
    ControlSize,
    ControlVariant,
    Direction,
    GutterSize,
    RadioOption,
    SelectOption,
    TextAlign,
    TextSize,
    TextWeight,
)


class Select(WidgetComponentBase):
    """Picks one of ``options`` from a menu."""

    type: Literal["Select"] = Field(default="Select", frozen=True)
    name: str
    options: list[Annotated[SelectOption, Sparse]]
    onChangeAction: ActionConfig | None = None
    placeholder: str | None = None
    defaultValue: str | None = None
    variant: ControlVariant | None = None
    size: ControlSize | None = None
    pill: bool | None = None
    block: bool | None = None
    clearable: bool | None = None
    disabled: bool | None = None
    searchable: bool | None = None


class DatePicker(WidgetComponentBase):
    """Picks a date between ``min`` and ``max``; ``side`` and ``align`` place its calendar."""

    type: Literal["DatePicker"] = Field(default="DatePicker", frozen=True)
    name: str
    onChangeAction: ActionConfig | None = None
    placeholder: str | None = None
    defaultValue: datetime | None = None
    min: datetime | None = None
    max: datetime | None = None
    variant: ControlVariant | None = None
    size: ControlSize | None = None
    side: Literal["top", "bottom", "left", "right"] | None = None
    align: Literal["start", "center", "end"] | None = None
    pill: bool | None = None
    block: bool | None = None
    clearable: bool | None = None
    disabled: bool | None = None


class Checkbox(WidgetComponentBase):
    """A yes or no."""

    type: Literal["Checkbox"] = Field(default="Checkbox", frozen=True)
    name: str
    label: str | None = None
    defaultChecked: bool | None = None
    onChangeAction: ActionConfig | None = None
    disabled: bool | None = None
    required: bool | None = None


class Input(WidgetComponentBase):
    """One line of text, checked in the browser against ``inputType`` and ``pattern``."""

    type: Literal["Input"] = Field(default="Input", frozen=True)
    name: str
    inputType: Literal["number", "email", "text", "password", "tel", "url"] | None = None
    defaultValue: str | None = None
    required: bool | None = None
    pattern: str | None = None
    placeholder: str | None = None
    allowAutofillExtensions: bool | None = None
    autoSelect: bool | None = None
    autoFocus: bool | None = None
    disabled: bool | None = None
    variant: Literal["soft", "outline"] | None = None
    size: ControlSize | None = None
    gutterSize: GutterSize | None = None
    pill: bool | None = None


class Label(WidgetComponentBase):
    """The caption of the input called ``fieldName``."""

    type: Literal["Label"] = Field(default="Label", frozen=True)
    value: str
    fieldName: str
    size: TextSize | None = None
    weight: TextWeight | None = None
    textAlign: TextAlign | None = None
    color: Color | None = None


class RadioGroup(WidgetComponentBase):
    """Picks one of ``options``, all of them visible."""

    type: Literal["RadioGroup"] = Field(default="RadioGroup", frozen=True)
    name: str
    options: list[Annotated[RadioOption, Sparse]] | None = None
    ariaLabel: str | None = None
    onChangeAction: ActionConfig | None = None
    defaultValue: str | None = None
    direction: Direction | None = None
    disabled: bool | None = None
    required: bool | None = None


class Textarea(WidgetComponentBase):
    """Several lines of text; ``autoResize`` grows it from ``rows`` up to ``maxRows``."""

    type: Literal["Textarea"] = Field(default="Textarea", frozen=True)
    name: str
    defaultValue: str | None = None
    required: bool | None = None
    pattern: str | None = None
    placeholder: str | None = None
    autoSelect: bool | None = None
    autoFocus: bool | None = None
    disabled: bool | None = None
    variant: Literal["soft", "outline"] | None = None
    size: ControlSize | None = None
    gutterSize: GutterSize | None = None
    rows: int | None = None
    autoResize: bool | None = None
    maxRows: int | None = None
    allowAutofillExtensions: bool | None = None
