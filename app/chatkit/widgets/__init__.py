"""The widget vocabulary under the official import path.

Built in code, a typed component refuses a wrong value, with its path, and ignores an unknown prop
with a warning; a child that is given to it as a dict is treated the same way. Given as data to a
``WidgetRoot`` or ``WidgetComponent`` (a stored item, an event), a widget loads as typed classes if
these write it back exactly as it came, and otherwise, as a whole, as dynamic ones, which keep
everything but nulls. So what was typed stays typed, nothing is ever lost, and only an unknown root
is refused. A value that a known component cannot have passes with a warning, as from a template,
which always builds dynamic components.

What can be imported from ``chatkit.widgets`` can be imported here, also what that module merely
imports itself.
"""

from __future__ import annotations

import inspect
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from jinja2 import Environment, StrictUndefined, Template
from pydantic import BaseModel, ConfigDict, Field, model_serializer
from typing_extensions import TypedDict, deprecated

from app.chatkit.actions import ActionConfig
from app.chatkit.icons import IconName
from app.chatkit.widgets.base import (
    WidgetComponentBase,
)
from app.chatkit.widgets.charts import (
    AreaSeries,
    BarSeries,
    Chart,
    LineSeries,
    Series,
)
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
from app.chatkit.widgets.layout import (
    BasicRoot,
    Box,
    BoxBase,
    Card,
    Col,
    DynamicWidgetComponent,
    DynamicWidgetRoot,
    Form,
    ListView,
    ListViewItem,
    Row,
    StrictWidgetComponent,
    StrictWidgetRoot,
    Table,
    TableCell,
    TableRow,
    Transition,
    WidgetComponent,
    WidgetRoot,
)
from app.chatkit.widgets.templates import (
    WidgetTemplate,
)
from app.chatkit.widgets.values import (
    Alignment,
    Border,
    Borders,
    CaptionSize,
    CardAction,
    ControlSize,
    ControlVariant,
    CurveType,
    EditableProps,
    IconSize,
    Justification,
    MinMax,
    RadioOption,
    RadiusValue,
    SelectOption,
    Spacing,
    TextAlign,
    TextSize,
    ThemeColor,
    TitleSize,
    WidgetIcon,
    WidgetStatus,
    WidgetStatusWithFavicon,
    WidgetStatusWithIcon,
    XAxisConfig,
)

__all__ = [
    "ActionConfig",
    "Alignment",
    "Annotated",
    "Any",
    "AreaSeries",
    "Badge",
    "BarSeries",
    "BaseModel",
    "BasicRoot",
    "Border",
    "Borders",
    "Box",
    "BoxBase",
    "Button",
    "Caption",
    "CaptionSize",
    "Card",
    "CardAction",
    "Chart",
    "Checkbox",
    "Col",
    "ConfigDict",
    "ControlSize",
    "ControlVariant",
    "CurveType",
    "DatePicker",
    "Divider",
    "DynamicWidgetComponent",
    "DynamicWidgetRoot",
    "EditableProps",
    "Environment",
    "Field",
    "Form",
    "Icon",
    "IconName",
    "IconSize",
    "Image",
    "Input",
    "Justification",
    "Label",
    "LineSeries",
    "ListView",
    "ListViewItem",
    "Literal",
    "Markdown",
    "MinMax",
    "NotRequired",
    "Path",
    "RadioGroup",
    "RadioOption",
    "RadiusValue",
    "Row",
    "Select",
    "SelectOption",
    "Series",
    "Spacer",
    "Spacing",
    "StrictUndefined",
    "StrictWidgetComponent",
    "StrictWidgetRoot",
    "Table",
    "TableCell",
    "TableRow",
    "Template",
    "Text",
    "TextAlign",
    "TextSize",
    "Textarea",
    "ThemeColor",
    "Title",
    "TitleSize",
    "Transition",
    "TypedDict",
    "WidgetComponent",
    "WidgetComponentBase",
    "WidgetIcon",
    "WidgetRoot",
    "WidgetStatus",
    "WidgetStatusWithFavicon",
    "WidgetStatusWithIcon",
    "WidgetTemplate",
    "XAxisConfig",
    "annotations",
    "datetime",
    "deprecated",
    "inspect",
    "json",
    "model_serializer",
]
