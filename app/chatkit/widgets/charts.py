"""The chart component and the series it plots."""

# pyright: reportIncompatibleVariableOverride=false
# Reason: see widget_content.py.

from typing import Annotated, Literal

from pydantic import Field

from app.chatkit.widgets.base import SparseModel, WidgetComponentBase
from app.chatkit.widgets.nulls import Sparse
from app.chatkit.widgets.values import Color, CurveType, Number, Whole, XAxisConfig


class BarSeries(SparseModel):
    """Bars over the numbers in ``dataKey``; series with the same ``stack`` are stacked."""

    type: Literal["bar"] = Field(default="bar", frozen=True)
    label: str | None
    dataKey: str
    stack: str | None = None
    color: Color | None = None


class AreaSeries(SparseModel):
    """A filled curve over the numbers in ``dataKey``, stackable like bars."""

    type: Literal["area"] = Field(default="area", frozen=True)
    label: str | None
    dataKey: str
    stack: str | None = None
    color: Color | None = None
    curveType: CurveType | None = None


class LineSeries(SparseModel):
    """A line through the numbers in ``dataKey``."""

    type: Literal["line"] = Field(default="line", frozen=True)
    label: str | None
    dataKey: str
    color: Color | None = None
    curveType: CurveType | None = None


Series = Annotated[BarSeries | AreaSeries | LineSeries, Field(discriminator="type")]


class Chart(WidgetComponentBase):
    """Plots ``series`` over the rows of ``data``, with the categories that ``xAxis`` names."""

    type: Literal["Chart"] = Field(default="Chart", frozen=True)
    data: list[dict[str, str | int | float | None]]
    series: list[Series]
    xAxis: str | Annotated[XAxisConfig, Sparse]
    showYAxis: bool | None = None
    showLegend: bool | None = None
    showTooltip: bool | None = None
    barGap: int | None = None
    barCategoryGap: int | None = None
    flex: Whole | str | None = None
    height: Whole | str | None = None
    width: Whole | str | None = None
    size: Whole | str | None = None
    minHeight: Whole | str | None = None
    minWidth: Whole | str | None = None
    minSize: Whole | str | None = None
    maxHeight: Whole | str | None = None
    maxWidth: Whole | str | None = None
    maxSize: Whole | str | None = None
    aspectRatio: Number | str | None = None
