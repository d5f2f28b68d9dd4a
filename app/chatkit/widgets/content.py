"""Components that show something and hold no others."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: each component narrows `type` to its own name. That is unsound only where the attribute
# can be assigned, and pydantic refuses to assign a frozen field.

from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from app.chatkit.actions import ActionConfig
from app.chatkit.old_names import warn_of_old_name
from app.chatkit.widgets.base import WidgetComponentBase
from app.chatkit.widgets.nulls import Sparse
from app.chatkit.widgets.values import (
    CaptionSize,
    Color,
    ControlSize,
    ControlVariant,
    EditableProps,
    IconSize,
    Number,
    RadiusValue,
    Spacing,
    TextAlign,
    TextSize,
    TextWeight,
    TitleSize,
    Whole,
    WidgetIcon,
)


class Markdown(WidgetComponentBase):
    """Markdown text. With an ``id``, text appended to ``value`` streams as deltas."""

    type: Literal["Markdown"] = Field(default="Markdown", frozen=True)
    value: str
    streaming: bool | None = None


class Text(WidgetComponentBase):
    """Plain text. With an ``id``, text appended to ``value`` streams as deltas.

    ``editable`` turns it into an input of the surrounding form.
    """

    type: Literal["Text"] = Field(default="Text", frozen=True)
    value: str
    streaming: bool | None = None
    italic: bool | None = None
    lineThrough: bool | None = None
    color: Color | None = None
    weight: TextWeight | None = None
    width: Number | str | None = None
    size: TextSize | None = None
    textAlign: TextAlign | None = None
    truncate: bool | None = None
    minLines: int | None = None
    maxLines: int | None = None
    editable: Literal[False] | Annotated[EditableProps, Sparse] | None = None


class Title(WidgetComponentBase):
    """A headline."""

    type: Literal["Title"] = Field(default="Title", frozen=True)
    value: str
    color: Color | None = None
    weight: TextWeight | None = None
    size: TitleSize | None = None
    textAlign: TextAlign | None = None
    truncate: bool | None = None
    maxLines: int | None = None


class Caption(WidgetComponentBase):
    """Small text that goes with something else."""

    type: Literal["Caption"] = Field(default="Caption", frozen=True)
    value: str
    color: Color | None = None
    weight: TextWeight | None = None
    size: CaptionSize | None = None
    textAlign: TextAlign | None = None
    truncate: bool | None = None
    maxLines: int | None = None


class Badge(WidgetComponentBase):
    """A short coloured label: a state, a category, a count."""

    type: Literal["Badge"] = Field(default="Badge", frozen=True)
    label: str
    color: Literal["secondary", "success", "danger", "warning", "info", "discovery"] | None = None
    variant: Literal["solid", "soft", "outline"] | None = None
    size: Literal["sm", "md", "lg"] | None = None
    pill: bool | None = None


class Divider(WidgetComponentBase):
    """A line between siblings; ``flush`` lets it reach the container's edges."""

    type: Literal["Divider"] = Field(default="Divider", frozen=True)
    color: Color | None = None
    size: Whole | str | None = None
    spacing: Whole | str | None = None
    flush: bool | None = None


class Icon(WidgetComponentBase):
    """A named icon."""

    type: Literal["Icon"] = Field(default="Icon", frozen=True)
    name: WidgetIcon
    color: Color | None = None
    size: IconSize | None = None


class Image(WidgetComponentBase):
    """A picture from a URL; ``flush`` lets it reach the container's edges."""

    type: Literal["Image"] = Field(default="Image", frozen=True)
    src: str
    alt: str | None = None
    fit: Literal["cover", "contain", "fill", "scale-down", "none"] | None = None
    position: (
        Literal[
            "top left",
            "top",
            "top right",
            "left",
            "center",
            "right",
            "bottom left",
            "bottom",
            "bottom right",
        ]
        | None
    ) = None
    radius: RadiusValue | None = None
    frame: bool | None = None
    flush: bool | None = None
    height: Whole | str | None = None
    width: Whole | str | None = None
    size: Whole | str | None = None
    minHeight: Whole | str | None = None
    minWidth: Whole | str | None = None
    minSize: Whole | str | None = None
    maxHeight: Whole | str | None = None
    maxWidth: Whole | str | None = None
    maxSize: Whole | str | None = None
    margin: Whole | str | Annotated[Spacing, Sparse] | None = None
    background: Color | None = None
    aspectRatio: Number | str | None = None
    flex: Whole | str | None = None


class Spacer(WidgetComponentBase):
    """Takes the room that is left over, and at least ``minSize``."""

    type: Literal["Spacer"] = Field(default="Spacer", frozen=True)
    minSize: Whole | str | None = None


class Button(WidgetComponentBase):
    """Dispatches ``onClickAction``, or with ``submit`` the action of its form."""

    @model_validator(mode="before")
    @classmethod
    def _accept_old_type(cls, data: Any) -> Any:
        if isinstance(data, dict) and cast("dict[str, Any]", data).get("type") == "submit":
            warn_of_old_name('Button(type="submit")', "Button(submit=True)")
            return {**cast("dict[str, Any]", data), "type": "Button", "submit": True}
        return cast("Any", data)

    type: Literal["Button"] = Field(default="Button", frozen=True)
    submit: bool | None = None
    label: str | None = None
    onClickAction: ActionConfig | None = None
    iconStart: WidgetIcon | None = None
    iconEnd: WidgetIcon | None = None
    style: Literal["primary", "secondary"] | None = None
    iconSize: Literal["sm", "md", "lg", "xl", "2xl"] | None = None
    color: (
        Literal[
            "primary",
            "secondary",
            "info",
            "discovery",
            "success",
            "caution",
            "warning",
            "danger",
        ]
        | None
    ) = None
    variant: ControlVariant | None = None
    size: ControlSize | None = None
    pill: bool | None = None
    uniform: bool | None = None
    block: bool | None = None
    disabled: bool | None = None
