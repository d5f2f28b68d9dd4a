"""The values that widget props take: tokens, numbers, edges and options."""

from typing import Annotated, Literal, NotRequired, cast

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from app.chatkit.actions import ActionConfig
from app.chatkit.icons import IconName
from app.chatkit.widgets.nulls import Sparse

WidgetIcon = IconName


def _other_than(key: str, *own_keys: str) -> BeforeValidator:
    """Keep an object that is of another kind, as ``key`` tells, from passing as this one.

    Unknown keys are ignored, so a wrong value in the other kind would otherwise go unnoticed. What
    has any of ``own_keys`` may have the other key, too.
    """

    def refuse(value: object) -> object:
        if isinstance(value, dict):
            given = {
                name for name, each in cast("dict[str, object]", value).items() if each is not None
            }
            if key in given and given.isdisjoint(own_keys):
                raise PydanticCustomError(
                    "other_kind", "Input should not have the key '{key}'", {"key": key}
                )
        return cast(object, value)

    return BeforeValidator(refuse)


# A JSON number that is written back as it came: 16 stays 16 and does not become 16.0.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]
# Where the official classes take whole numbers only, although the client takes any.
Whole = Annotated[int | float, WithJsonSchema({"type": "integer"})]

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


class ThemeColor(TypedDict):
    """One colour per theme."""

    dark: str
    light: str


Color = str | Annotated[ThemeColor, Sparse]
"""A colour token (`success`), a palette step (`blue-900`), CSS, or one of these per theme."""


class Spacing(TypedDict):
    """Room per side, in spacing units or as CSS; ``x`` and ``y`` set two sides at once."""

    top: NotRequired[Number | str]
    right: NotRequired[Number | str]
    bottom: NotRequired[Number | str]
    left: NotRequired[Number | str]
    x: NotRequired[Number | str]
    y: NotRequired[Number | str]


class Border(TypedDict):
    """A line along an edge; ``size`` is its thickness in px."""

    size: Whole
    color: NotRequired[Color]
    style: NotRequired[
        Literal["solid", "dashed", "dotted", "double", "groove", "ridge", "inset", "outset"]
    ]


class Borders(TypedDict):
    """Border, or thickness in px, per side; ``x`` and ``y`` set two sides at once."""

    top: NotRequired[Whole | Annotated[Border, Sparse]]
    right: NotRequired[Whole | Annotated[Border, Sparse]]
    bottom: NotRequired[Whole | Annotated[Border, Sparse]]
    left: NotRequired[Whole | Annotated[Border, Sparse]]
    x: NotRequired[Whole | Annotated[Border, Sparse]]
    y: NotRequired[Whole | Annotated[Border, Sparse]]


BoxBorder = Whole | Annotated[Border, Sparse] | Annotated[Borders, Sparse, _other_than("size")]
"""A border as containers take it: its thickness in px, all that there is to say, or per side."""
BoxSpacing = Number | str | Annotated[Spacing, Sparse]
"""A padding or margin as containers take it: the same on all sides, or per side."""


class MinMax(TypedDict):
    """A range of whole numbers, both ends included."""

    min: NotRequired[int]
    max: NotRequired[int]


class EditableProps(TypedDict):
    """Turns a text into an input of the surrounding form; ``name`` is its key in the payload."""

    name: str
    autoFocus: NotRequired[bool]
    autoSelect: NotRequired[bool]
    autoComplete: NotRequired[str]
    allowAutofillExtensions: NotRequired[bool]
    pattern: NotRequired[str]
    placeholder: NotRequired[str]
    required: NotRequired[bool]


class WidgetStatusWithFavicon(TypedDict):
    """A status line led by a site's icon; ``frame`` puts a border around it."""

    text: str
    favicon: NotRequired[str]
    frame: NotRequired[bool]


class WidgetStatusWithIcon(TypedDict):
    """A status line led by a named icon."""

    text: str
    icon: NotRequired[WidgetIcon]


WidgetStatus = (
    Annotated[WidgetStatusWithFavicon, Sparse, _other_than("icon", "favicon", "frame")]
    | Annotated[WidgetStatusWithIcon, Sparse]
)


class CardAction(TypedDict):
    """A button in the footer of a card."""

    label: str
    action: ActionConfig


class SelectOption(TypedDict):
    """A choice of a ``Select``; ``value`` is what the form submits."""

    value: str
    label: str
    disabled: NotRequired[bool]
    description: NotRequired[str]


class RadioOption(TypedDict):
    """A choice of a ``RadioGroup``; ``value`` is what the form submits."""

    label: str
    value: str
    disabled: NotRequired[bool]


class XAxisConfig(TypedDict):
    """The x axis of a chart: the field that names the categories, and how they are labelled."""

    dataKey: str
    hide: NotRequired[bool]
    labels: NotRequired[dict[str, str]]
