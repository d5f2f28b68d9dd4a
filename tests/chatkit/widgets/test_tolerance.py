"""What is taken with a warning, as the official package takes it without one; and nulls."""

import json
import logging
import warnings
from typing import Any, cast

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.chatkit import warn_once as warnings_module
from app.chatkit.protocol.events import WidgetComponentUpdated, WidgetRootUpdated
from app.chatkit.protocol.items import ThreadItem, WidgetItem
from app.chatkit.widgets import (
    ActionConfig,
    Badge,
    BarSeries,
    BasicRoot,
    Box,
    Button,
    Card,
    Chart,
    DynamicWidgetComponent,
    DynamicWidgetRoot,
    Form,
    ListView,
    ListViewItem,
    Row,
    Select,
    Text,
    WidgetComponentBase,
    WidgetRoot,
)
from tests.chatkit.store_rooms import Room
from tests.chatkit.widgets.components import CLASSES, LEAST_PROPS
from tests.conformance.official_surface import official
from tests.support.samples import MOMENT, THREAD_ID

ROOT: TypeAdapter[Any] = TypeAdapter(WidgetRoot)
Caplog = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def forget_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test begin as a process does."""
    monkeypatch.setattr(warnings_module, "_logged", set())


def warned(caplog: Caplog) -> list[str]:
    """Return the warnings, without the line of code that each of them names."""
    texts = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert all(each.endswith(")") and ".py:" in each for each in texts)
    return [each.rpartition(" (")[0] for each in texts]


def official_widget(data: dict[str, Any]) -> Any:
    """Return the widget as the official package writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        widget = official("widgets").DynamicWidgetRoot.model_validate(data)
    return json.loads(widget.model_dump_json(exclude_none=True))


def wire(widget: BaseModel) -> Any:
    return json.loads(widget.model_dump_json(by_alias=True, exclude_none=True))


# --- unknown props of typed widgets --------------------------------------------------------------

TYPED = [each for each in CLASSES if not issubclass(each, DynamicWidgetComponent)]


@pytest.mark.parametrize("component", TYPED, ids=lambda each: each.__name__)
def test_unknown_prop_is_ignored_with_a_warning_when_a_typed_component_is_built(
    component: type[WidgetComponentBase], caplog: Caplog
) -> None:
    name = component.__name__
    props = LEAST_PROPS.get(component.model_fields["type"].default, {})

    built = component(**props, colour="red", glow={"a": 1})

    assert wire(built) == wire(component(**props))
    assert warned(caplog) == [f"Ignored unknown props: {name}.colour, {name}.glow"]


def test_form_of_the_official_pages_is_taken_when_it_has_a_prop_of_its_own(
    caplog: Caplog,
) -> None:
    form = Form(validation="native", children=[])  # type: ignore[call-arg]

    assert wire(form) == {"type": "Form", "children": []}
    assert warned(caplog) == ["Ignored unknown props: Form.validation"]


IGNORED: dict[str, tuple[Any, str]] = {
    "an option": (
        lambda: Select(name="a", options=[{"label": "A", "value": "a", "icon": "x"}]),  # type: ignore[typeddict-unknown-key]
        "Select.options[0].icon",
    ),
    "a status": (
        lambda: Card(children=[], status={"text": "a", "tone": "b"}),  # type: ignore[typeddict-unknown-key]
        "Card.status.tone",
    ),
    "a child as data": (
        lambda: Card(children=[Text(value="a"), {"type": "Text", "value": "b", "glow": 1}]),  # type: ignore[list-item]
        "Card.children[1].glow",
    ),
    "a child deep inside": (
        lambda: Row(children=[[{"type": "Row", "children": [{"type": "Spacer", "x": 1}]}]]),
        "Row.children[0][0].children[0].x",
    ),
    "an action": (
        lambda: ActionConfig(type="go", loading_behavior="self"),  # type: ignore[call-arg]
        "ActionConfig.loading_behavior",
    ),
    "an action as data": (
        lambda: Button(onClickAction={"type": "go", "confirm": True}),  # type: ignore[arg-type]
        "Button.onClickAction.confirm",
    ),
    "a series": (
        lambda: Chart(
            data=[{"x": 1}],
            xAxis="x",
            series=[{"type": "bar", "label": "a", "dataKey": "x", "z": 0}],  # type: ignore[list-item]
        ),
        "Chart.series[0].z",
    ),
}


@pytest.mark.parametrize(("build", "path"), IGNORED.values(), ids=IGNORED)
def test_path_is_named_when_an_unknown_prop_is_ignored(
    build: Any, path: str, caplog: Caplog
) -> None:
    widget = build()
    assert path.rpartition(".")[2] not in widget.model_dump_json()
    assert warned(caplog) == [f"Ignored unknown props: {path}"]


def test_warning_comes_once_when_a_line_builds_many_widgets(caplog: Caplog) -> None:
    for _ in range(3):
        ListView(children=[ListViewItem(children=[], tone=1) for _ in range(3)])  # type: ignore[call-arg]
    assert warned(caplog) == ["Ignored unknown props: ListViewItem.tone"]

    ListViewItem(children=[], tone=1)  # type: ignore[call-arg]
    assert len(warned(caplog)) == 2  # another line


def test_nothing_is_logged_when_all_is_well(caplog: Caplog) -> None:
    action = ActionConfig(type="go", payload={"any": [None, {"a": 1}]})
    Card(
        children=[
            Button(label="A", onClickAction=action, disabled=None),
            Box(padding={"x": 1}, gap=1.5, border={"size": 0.5}),
            {"type": "Gauge", "level": {"of": [1]}},  # type: ignore[list-item]
            Chart(data=[{"x": 1}], xAxis={"dataKey": "x"}, series=[]),
        ],
        confirm={"label": "OK", "action": action},
    )
    BasicRoot(gap=2, own={"a": 1}, children=[Badge(label="a")])  # type: ignore[call-arg, list-item]
    assert warned(caplog) == []


# --- wrong values in data ------------------------------------------------------------------------


def card(*children: Any, **props: Any) -> dict[str, Any]:
    return {"type": "Card", "children": list(children), **props}


def badge(color: Any = "purple") -> dict[str, Any]:
    return {"type": "Badge", "label": "a", "color": color}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a child": (card({"type": "Spacer"}, badge()), "$.children[1].color: "),
    "the root": (card(size="huge"), "$.size: Input should be 'sm', 'md', 'lg' or 'full'"),
    "in a single child": (
        card({"type": "Transition", "children": badge()}),
        "$.children[0].children.color: ",
    ),
    "in an unknown component": (
        card({"type": "Tabs", "children": [badge()]}),
        "$.children[0].children[0].color: ",
    ),
    "in a basic": ({"type": "Basic", "children": [badge()]}, "$.children[0].color: "),
    "in a card in a basic": (
        {"type": "Basic", "children": [card(badge())]},
        "$.children[0].children[0].color: ",
    ),
    "of a basic": ({"type": "Basic", "align": "middle"}, "$.align: "),
    "in a nested value": (
        card({"type": "Box", "border": {"size": 1, "style": "wavy"}}),
        "$.children[0].border.style: ",
    ),
    "in a value of two kinds": (
        card(status={"text": "a", "icon": "no-such-icon"}),
        "$.status.icon: ",
    ),
    "in a list": (
        card({"type": "Select", "name": "a", "options": [{"value": 1, "label": "A"}]}),
        "$.children[0].options[0].value: Input should be a valid string",
    ),
    "in an action": (
        card({"type": "Button", "onClickAction": {"type": "go", "handler": "page"}}),
        "$.children[0].onClickAction.handler: ",
    ),
    "missing": (card({"type": "Text"}), "$.children[0].value: Field required"),
    "rows that are none": (
        {"type": "ListView", "children": [{"type": "Text", "value": "a"}]},
        "$.children[0].type: Input should be 'ListViewItem'",
    ),
}
each_wrong = pytest.mark.parametrize(("data", "fault"), WRONG.values(), ids=WRONG)


@each_wrong
@pytest.mark.parametrize("entry", ["root", "constructor", "item", "event"])
def test_wrong_value_passes_as_it_does_officially_when_it_is_data(
    data: dict[str, Any], fault: str, entry: str, caplog: Caplog
) -> None:
    widget: Any
    match entry:
        case "root":
            widget = DynamicWidgetRoot.model_validate(data)
        case "constructor":
            widget = DynamicWidgetRoot(**data)
        case "item":
            item = WidgetItem(
                id="w", thread_id=THREAD_ID, created_at=MOMENT, widget=cast(Any, data)
            )
            widget = item.widget
        case _:
            widget = WidgetRootUpdated(widget=cast(Any, data)).widget

    assert wire(widget) == official_widget(data) == data
    (text,) = warned(caplog)
    assert text.startswith(f"A widget has a wrong value at {fault}")


@each_wrong
def test_wrong_value_is_refused_when_data_is_validated_strictly(
    data: dict[str, Any], fault: str, caplog: Caplog
) -> None:
    with pytest.raises(ValidationError) as caught:
        DynamicWidgetRoot.model_validate(data, strict=True)

    (error,) = caught.value.errors()
    path = "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in error["loc"])
    assert f"{path}: {error['msg']}".startswith(fault)
    assert warned(caplog) == []


@pytest.mark.parametrize("child", [badge(), {"type": "Text"}], ids=["wrong", "missing"])
def test_wrong_value_is_refused_when_the_parent_is_typed(child: Any) -> None:
    with pytest.raises(ValidationError):
        Card(children=[child])
    with pytest.raises(ValidationError):
        Badge(label="a", color=cast(Any, "purple"))
    with pytest.raises(ValidationError):
        BasicRoot(align=cast(Any, "middle"))


def test_component_of_an_event_is_looked_at_when_it_is_data(caplog: Caplog) -> None:
    WidgetComponentUpdated(component_id="a", component=cast(Any, badge()))
    (text,) = warned(caplog)
    assert "at $.color" in text


def test_nothing_is_logged_when_a_stored_widget_is_read(caplog: Caplog) -> None:
    items: TypeAdapter[Any] = TypeAdapter(ThreadItem)
    for data, _ in WRONG.values():
        item = {
            "type": "widget",
            "id": "w",
            "thread_id": THREAD_ID,
            "created_at": "2026-01-01T00:00:00Z",
            "widget": card(*data.get("children", []), colour="red"),
        }
        items.validate_json(json.dumps(item))
    assert warned(caplog) == []


# --- props of @openai/chatkit 1.9 ----------------------------------------------------------------


def test_card_and_basic_have_the_props_of_the_client_when_they_are_typed(caplog: Caplog) -> None:
    edges: Any = {"top": 1, "x": {"size": 2, "color": {"light": "a", "dark": "b"}}}
    card_ = Card(children=[], border=edges)
    basic = BasicRoot(
        theme="dark", direction="row", gap=2, padding={"x": 1}, align="end", justify="between"
    )
    assert wire(card_) == {"type": "Card", "children": [], "border": edges}
    assert wire(basic) == {
        "type": "Basic",
        "theme": "dark",
        "direction": "row",
        "gap": 2,
        "padding": {"x": 1},
        "align": "end",
        "justify": "between",
    }
    for widget in (card_, basic):
        loaded = ROOT.validate_json(widget.model_dump_json())
        assert loaded == widget
        assert type(loaded) is type(widget)
    assert warned(caplog) == []


# --- nulls ---------------------------------------------------------------------------------------

ROWS = [{"x": "a", "y": None}, {"x": "b", "y": 2}]
PAYLOAD = {"a": None, "list": [None, {"b": None}]}
WITH_NULLS: dict[str, Any] = card(
    {"type": "Box", "padding": {"x": 1, "y": None}, "border": {"size": 1, "color": None}},
    {"type": "Text", "value": "a", "editable": {"name": "a", "placeholder": None}},
    {"type": "Select", "name": "s", "options": [{"label": "A", "value": "a", "description": None}]},
    {
        "type": "Chart",
        "data": ROWS,
        "xAxis": {"dataKey": "x", "labels": None},
        "series": [{"type": "bar", "label": None, "dataKey": "y", "color": None}],
    },
    {"type": "Button", "onClickAction": {"type": "Chart", "payload": PAYLOAD, "data": None}},
    {"type": "Button", "onClickAction": {"type": "go", "payload": None}, "label": None},
    {"type": "Gauge", "marks": [1, None, [None, 2]], "data": [{"a": None}], "unit": None},
    {"type": "Menu", "entries": [{"label": "a", "action": {"type": "go", "payload": PAYLOAD}}]},
    status={"text": "a", "icon": None},
    confirm={"label": "OK", "action": {"type": "ok", "payload": PAYLOAD}},
    theme=None,
)
WITHOUT: dict[str, Any] = card(
    {"type": "Box", "padding": {"x": 1}, "border": {"size": 1}},
    {"type": "Text", "value": "a", "editable": {"name": "a"}},
    {"type": "Select", "name": "s", "options": [{"label": "A", "value": "a"}]},
    {
        "type": "Chart",
        "data": ROWS,
        "xAxis": {"dataKey": "x"},
        "series": [{"type": "bar", "dataKey": "y"}],
    },
    {"type": "Button", "onClickAction": {"type": "Chart", "payload": PAYLOAD}},
    {"type": "Button", "onClickAction": {"type": "go"}},
    {"type": "Gauge", "marks": [1, [2]], "data": [{}]},
    {"type": "Menu", "entries": [{"label": "a", "action": {"type": "go", "payload": PAYLOAD}}]},
    status={"text": "a"},
    confirm={"label": "OK", "action": {"type": "ok", "payload": PAYLOAD}},
)


async def test_only_payloads_and_rows_keep_nulls_when_a_widget_is_shown(room: Room) -> None:
    widget = DynamicWidgetRoot.model_validate(WITH_NULLS)

    item = await room.show(widget)

    assert wire(item)["widget"] == WITHOUT
    page = await room.store.chatkit_load_items_json(THREAD_ID, None, 10, "asc", room.context)
    assert json.loads(page)["data"][0]["widget"] == WITHOUT
    loaded = await room.store.load_item(THREAD_ID, item.id, room.context)
    assert wire(loaded)["widget"] == WITHOUT


def test_nulls_are_left_out_when_typed_widgets_are_built_with_them(caplog: Caplog) -> None:
    box: Any = {"x": 1, "y": None}
    border: Any = {"size": 1, "color": None}
    option: Any = {"label": "A", "value": "a", "description": None}
    editable: Any = {"name": "a", "placeholder": None}
    rows: Any = ROWS
    widget = Card(
        children=[
            Box(padding=box, margin={"top": cast(Any, None)}, border=border),
            Box(border={"top": border, "left": cast(Any, None)}),
            Text(value="a", editable=editable),
            Select(name="s", options=[option]),
            Chart(data=rows, xAxis="x", series=[BarSeries(label=None, dataKey="y")]),
        ],
        status=cast(Any, {"text": "a", "icon": None}),
    )

    assert wire(widget) == card(
        {"type": "Box", "padding": {"x": 1}, "margin": {}, "border": {"size": 1}},
        {"type": "Box", "border": {"top": {"size": 1}}},
        {"type": "Text", "value": "a", "editable": {"name": "a"}},
        {"type": "Select", "name": "s", "options": [{"label": "A", "value": "a"}]},
        {
            "type": "Chart",
            "data": ROWS,
            "xAxis": "x",
            "series": [{"type": "bar", "dataKey": "y"}],
        },
        status={"text": "a"},
    )
    assert warned(caplog) == []


def test_null_is_left_out_when_it_was_assigned_later() -> None:
    box = Box()
    box.padding = cast(Any, {"x": None, "y": 2})
    dynamic = DynamicWidgetComponent(type="Gauge", scale={"min": None})  # type: ignore[call-arg]

    assert wire(box) == {"type": "Box", "padding": {"y": 2}}
    assert wire(dynamic) == {"type": "Gauge", "scale": {}}
