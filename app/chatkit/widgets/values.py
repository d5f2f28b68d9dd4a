"""The values that widget props take: tokens, numbers, edges and options."""

from typing import Annotated, Literal, NotRequired

from pydantic import WithJsonSchema, with_config
from typing_extensions import TypedDict

from app.chatkit.actions import ActionConfig
from app.chatkit.icons import IconName
from app.chatkit.strict_model import CLOSED

WidgetIcon = IconName

# A JSON number that is written back as it came: 16 stays 16 and does not become 16.0.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]

RadiusValue = Literal[
    "2xs", "xs", "sm", "md", "lg", "xl", "2xl", "3xl", "4xl", "full", "100%", "none"
]
TextAlign = Literal["start", "center", "end"]
TextSize = Literal["xs", "sm", "md", "lg", "xl"]
TextWeight = Literal["normal", "medium", "semibold", "bold"]
IconSize = Literal["xs", "sm", "md", "lg", "xl", "2xl", "3xl"]
TitleSize = Literal["sm", "md", "lg", "xl", "2xl", "3xl", "4xl", "5xl"]
CaptionSize = Literal["sm", "md", "lg"]
Alignment = Literal["start", "center", "end", "baseline", "stretch"]
Justification = Literal["start", "center", "end", "between", "around", "evenly", "stretch"]
ControlVariant = Literal["solid", "soft", "outline", "ghost"]
ControlSize = Literal["3xs", "2xs", "xs", "sm", "md", "lg", "xl", "2xl", "3xl"]
GutterSize = Literal["2xs", "xs", "sm", "md", "lg", "xl"]
Theme = Literal["light", "dark"]
Direction = Literal["row", "col"]
CellAlign = Literal["start", "center", "end"]
ColumnSize = Literal["xs", "sm", "md", "lg", "xl"]
CurveType = Literal[
    "basis",
    "basisClosed",
    "basisOpen",
    "bumpX",
    "bumpY",
    "bump",
    "linear",
    "linearClosed",
    "natural",
    "monotoneX",
    "monotoneY",
    "monotone",
    "step",
    "stepBefore",
    "stepAfter",
]


@with_config(CLOSED)
class ThemeColor(TypedDict):
    """One colour per theme."""

    dark: str
    light: str


Color = str | ThemeColor
"""A colour token (`success`), a palette step (`blue-900`), CSS, or one of these per theme."""


@with_config(CLOSED)
class Spacing(TypedDict):
    """Room per side, in spacing units or as CSS; `x` and `y` set two sides at once."""

    top: NotRequired[Number | str]
    right: NotRequired[Number | str]
    bottom: NotRequired[Number | str]
    left: NotRequired[Number | str]
    x: NotRequired[Number | str]
    y: NotRequired[Number | str]


@with_config(CLOSED)
class Border(TypedDict):
    """A line along an edge; `size` is its thickness in px."""

    size: int
    color: NotRequired[Color]
    style: NotRequired[
        Literal["solid", "dashed", "dotted", "double", "groove", "ridge", "inset", "outset"]
    ]


@with_config(CLOSED)
class Borders(TypedDict):
    """Border, or thickness in px, per side; `x` and `y` set two sides at once."""

    top: NotRequired[int | Border]
    right: NotRequired[int | Border]
    bottom: NotRequired[int | Border]
    left: NotRequired[int | Border]
    x: NotRequired[int | Border]
    y: NotRequired[int | Border]


@with_config(CLOSED)
class MinMax(TypedDict):
    """A range of whole numbers, both ends included."""

    min: NotRequired[int]
    max: NotRequired[int]


@with_config(CLOSED)
class EditableProps(TypedDict):
    """Turns a text into an input of the surrounding form; `name` is its key in the payload."""

    name: str
    autoFocus: NotRequired[bool]
    autoSelect: NotRequired[bool]
    autoComplete: NotRequired[str]
    allowAutofillExtensions: NotRequired[bool]
    pattern: NotRequired[str]
    placeholder: NotRequired[str]
    required: NotRequired[bool]


@with_config(CLOSED)
class WidgetStatusWithFavicon(TypedDict):
    """A status line led by a site's icon; `frame` puts a border around it."""

    text: str
    favicon: NotRequired[str]
    frame: NotRequired[bool]


@with_config(CLOSED)
class WidgetStatusWithIcon(TypedDict):
    """A status line led by a named icon."""

    text: str
    icon: NotRequired[WidgetIcon]


WidgetStatus = WidgetStatusWithFavicon | WidgetStatusWithIcon


@with_config(CLOSED)
class CardAction(TypedDict):
    """A button in the footer of a card."""

    label: str
    action: ActionConfig


@with_config(CLOSED)
class SelectOption(TypedDict):
    """A choice of a `Select`; `value` is what the form submits."""

    value: str
    label: str
    disabled: NotRequired[bool]
    description: NotRequired[str]


@with_config(CLOSED)
class RadioOption(TypedDict):
    """A choice of a `RadioGroup`; `value` is what the form submits."""

    label: str
    value: str
    disabled: NotRequired[bool]


@with_config(CLOSED)
class XAxisConfig(TypedDict):
    """The x axis of a chart: the field that names the categories, and how they are labelled."""

    dataKey: str
    hide: NotRequired[bool]
    labels: NotRequired[dict[str, str]]
