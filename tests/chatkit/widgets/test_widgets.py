import json
import warnings
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.chatkit.protocol.events import WidgetComponentUpdated
from app.chatkit.protocol.items import ThreadItem, WidgetItem, now
from app.chatkit.widgets import (
    ActionConfig,
    Badge,
    BarSeries,
    BasicRoot,
    Box,
    Button,
    Card,
    Chart,
    Col,
    DatePicker,
    DynamicWidgetComponent,
    DynamicWidgetRoot,
    ListView,
    ListViewItem,
    Row,
    Table,
    TableCell,
    TableRow,
    Text,
    Transition,
    WidgetComponent,
    WidgetComponentBase,
    WidgetRoot,
)
from tests.chatkit.widgets.components import CLASSES, LEAST_PROPS

ROOT: TypeAdapter[Any] = TypeAdapter(WidgetRoot)
COMPONENT: TypeAdapter[Any] = TypeAdapter(WidgetComponent)


def reload(widget: WidgetComponentBase) -> Any:
    return ROOT.validate_json(widget.model_dump_json(by_alias=True, exclude_none=True))


def errors_of(caught: pytest.ExceptionInfo[ValidationError]) -> list[tuple[int | str, ...]]:
    return [each["loc"] for each in caught.value.errors()]


@pytest.mark.parametrize("component", CLASSES, ids=lambda each: each.__name__)
def test_only_given_props_are_written_when_a_component_has_the_least(
    component: type[WidgetComponentBase],
) -> None:
    name = component.model_fields["type"].default
    props = LEAST_PROPS.get(name, {})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = component(**props)

    expected = {key: each for key, each in props.items() if each is not None}
    assert built.model_dump(mode="json") == {"type": name, **expected}


@pytest.mark.parametrize("options", [{"exclude_defaults": True}, {"exclude_unset": True}], ids=str)
def test_type_is_written_when_defaults_are_not(options: dict[str, bool]) -> None:
    card = Card(children=[Text(value="a"), Row(gap=None, children=[Badge(label="b")])])

    assert card.model_dump(**cast(Any, options))["children"] == [
        {"type": "Text", "value": "a"},
        {"type": "Row", "children": [{"type": "Badge", "label": "b"}]},
    ]


def test_wrong_value_is_refused_when_a_component_is_built() -> None:
    with pytest.raises(ValidationError) as caught:
        Text(value="a", size=cast(Any, "huge"))

    assert errors_of(caught) == [("size",)]


def test_path_is_named_when_a_child_given_as_data_is_wrong() -> None:
    wrong = {"type": "Row", "children": [{"type": "Badge", "label": "a"}, {"type": "Text"}]}

    with pytest.raises(ValidationError) as caught:
        Card(children=[Text(value="a"), cast(Any, wrong)])

    assert errors_of(caught) == [("children", 1, "children", 1, "value")]


@pytest.mark.parametrize("child", [Card(children=[]), "Text", 7, None], ids=str)
def test_child_is_refused_when_it_is_no_component(child: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Card(children=[child])

    assert errors_of(caught) == [("children", 0)]


def test_children_are_accepted_when_they_are_a_tuple_or_a_generator() -> None:
    texts = [Text(value="a"), Text(value="b")]

    assert Col(children=cast(Any, tuple(texts))).children == texts
    assert Col(children=cast(Any, (each for each in texts))).children == texts


def test_children_stay_as_they_are_when_they_are_lists_of_lists() -> None:
    card = Card(
        children=[
            Text(value="a"),
            [Text(value="b"), [Row(children=[[Badge(label="c")]])], []],
            Table(children=cast(Any, [[TableRow(children=cast(Any, [[TableCell()]]))]])),
        ]
    )
    rows = ListView(children=cast(Any, [[ListViewItem(children=[])]]))
    basic = BasicRoot(children=cast(Any, [[card], [{"type": "Gauge", "children": [[rows]]}]]))

    assert card.model_dump()["children"][1] == [
        {"type": "Text", "value": "b"},
        [{"type": "Row", "children": [[{"type": "Badge", "label": "c"}]]}],
        [],
    ]
    for widget in (card, rows, basic):
        loaded = reload(widget)
        assert type(loaded) is type(widget)
        assert loaded.model_dump() == widget.model_dump()
    assert reload(card) == card


@pytest.mark.parametrize(
    ("child", "loc"),
    [
        ([Text(value="a"), [{"type": "Text"}]], ("children", 0, 1, 0, "value")),
        ([[Card(children=[])]], ("children", 0, 0, 0)),
        ([7], ("children", 0, 0)),
    ],
    ids=["wrong", "root", "number"],
)
def test_path_is_named_when_a_child_in_a_list_of_lists_is_wrong(child: Any, loc: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Card(children=[child])

    assert errors_of(caught) == [loc]


def test_list_is_refused_when_there_is_room_for_one_child() -> None:
    with pytest.raises(ValidationError, match="not a root"):
        Transition(children=cast(Any, [Text(value="a")]))


def test_numbers_stay_as_they_are_when_they_are_whole() -> None:
    box = Box(padding=16, width=1.5, margin={"top": 2}, height="50%")

    assert box.model_dump_json() == (
        '{"height":"50%","width":1.5,"padding":16,"margin":{"top":2},"type":"Box"}'
    )


def test_nulls_inside_an_action_payload_are_kept_when_a_widget_is_written() -> None:
    payload = {"a": None, "list": [1, None, {"b": None}]}
    button = Button(label="Go", onClickAction=ActionConfig(type="go", payload=payload))
    card = Card(children=[button], confirm={"label": "OK", "action": ActionConfig(type="ok")})

    dumped = json.loads(card.model_dump_json(exclude_none=True))

    assert dumped["children"][0]["onClickAction"]["payload"] == payload
    assert "payload" not in dumped["confirm"]["action"]
    assert reload(card) == card


def test_null_props_are_dropped_when_a_dynamic_component_is_of_a_known_type() -> None:
    text = DynamicWidgetComponent.model_validate(
        {"type": "Text", "value": "a", "size": None, "id": None}
    )

    assert text.model_dump() == {"type": "Text", "value": "a"}


def test_series_write_no_nulls_when_they_are_in_a_chart() -> None:
    chart = Chart(data=[], series=[BarSeries(label=None, dataKey="y")], xAxis="x")

    assert chart.model_dump()["series"] == [{"type": "bar", "dataKey": "y"}]


def test_classes_are_the_same_when_a_typed_widget_is_stored_and_loaded() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    action = ActionConfig(type="go", payload={"a": [None]}, streaming=False)
    card = Card(
        padding={"x": 4},
        children=[
            Row(gap=2, children=[Text(id="t", value="a", streaming=True)]),
            DatePicker(name="date", min=when, onChangeAction=action),
            Transition(children=Badge(label="b")),
            Chart(data=[{"y": 1}], series=[BarSeries(label="Y", dataKey="y")], xAxis="y"),
            Table(children=[TableRow(children=[TableCell(children=[Text(value="c")])])]),
            DynamicWidgetComponent.model_validate({"type": "Gauge", "level": 3}),
        ],
    )

    loaded = reload(card)

    assert loaded == card
    assert [type(each) for each in loaded.children] == [type(each) for each in card.children]


LIST_OF_UNUSUAL_DATA: dict[str, dict[str, Any]] = {
    "an unknown prop of the root": {"type": "Card", "children": [], "border": 1},
    "an unknown prop of a child": {
        "type": "Card",
        "children": [{"type": "Text", "value": "a", "glow": {"x": []}}],
    },
    "an unknown component": {
        "type": "Card",
        "children": [{"type": "Gauge", "children": {"type": "Text", "value": "a"}}],
    },
    "a missing prop": {"type": "Card", "children": [{"type": "Text"}]},
    "a wrong value": {"type": "Card", "children": [{"type": "Text", "value": 5}]},
    "a number as text": {
        "type": "Card",
        "children": [{"type": "Text", "value": "a", "maxLines": "3"}],
    },
    "a number as truth": {
        "type": "Card",
        "children": [{"type": "Text", "value": "a", "italic": 1}],
    },
    "an unknown key of a value": {"type": "Card", "children": [], "padding": {"left": 1, "z": 2}},
    "a date without time": {
        "type": "Card",
        "children": [{"type": "DatePicker", "name": "a", "min": "2026-01-02"}],
    },
    "an action without defaults": {
        "type": "ListView",
        "children": [{"type": "ListViewItem", "children": [], "onClickAction": {"type": "go"}}],
    },
    "an action with a future key": {
        "type": "Card",
        "children": [{"type": "Button", "onClickAction": {"type": "go", "confirm": True}}],
    },
    "rows that are no rows": {"type": "ListView", "children": [{"type": "Text", "value": "a"}]},
    "a single child": {"type": "Card", "children": {"type": "Text", "value": "a"}},
    "a card in a basic": {"type": "Basic", "gap": 2, "children": [{"type": "Card", "x": [[]]}]},
    "no children": {"type": "Card"},
}


@pytest.mark.parametrize("data", LIST_OF_UNUSUAL_DATA.values(), ids=LIST_OF_UNUSUAL_DATA)
def test_nothing_is_lost_when_unusual_data_is_loaded_and_written(data: dict[str, Any]) -> None:
    as_text = json.dumps(data, sort_keys=True)

    from_python = ROOT.validate_python(data).model_dump(mode="json")
    from_json = ROOT.validate_json(as_text).model_dump(mode="json", exclude_none=True)

    assert json.dumps(from_python, sort_keys=True) == as_text
    assert json.dumps(from_json, sort_keys=True) == as_text


@pytest.mark.parametrize("data", LIST_OF_UNUSUAL_DATA.values(), ids=LIST_OF_UNUSUAL_DATA)
def test_nothing_is_lost_when_an_item_holds_an_unusual_widget(data: dict[str, Any]) -> None:
    item = WidgetItem(id="msg_1", thread_id="thr_1", created_at=now(), widget=cast(Any, data))
    items: TypeAdapter[Any] = TypeAdapter(ThreadItem)

    stored = items.dump_json(item, by_alias=True, exclude_none=True)
    loaded = items.validate_json(stored)

    assert json.loads(stored)["widget"] == data
    assert items.dump_json(loaded, by_alias=True, exclude_none=True) == stored


@pytest.mark.parametrize(
    ("data", "root"),
    [
        ({"type": "Card", "children": [{"type": "Text", "value": "a"}]}, Card),
        ({"type": "Card", "children": [{"type": "Gauge", "level": None}]}, Card),
        ({"type": "ListView", "children": [], "limit": "auto"}, ListView),
        ({"type": "Basic", "gap": 2}, BasicRoot),
        ({"type": "Card", "children": [{"type": "Text", "text": "a"}]}, DynamicWidgetRoot),
    ],
)
def test_root_is_typed_only_when_its_classes_can_hold_the_data(
    data: dict[str, Any], root: type[Any]
) -> None:
    assert type(ROOT.validate_python(data)) is root


def test_component_is_dynamic_when_its_class_cannot_hold_the_data() -> None:
    assert COMPONENT.validate_python({"type": "Text", "value": "a"}) == Text(value="a")

    component = COMPONENT.validate_python({"type": "Text", "value": "a", "glow": 1})

    assert type(component) is DynamicWidgetComponent
    assert component.model_dump() == {"type": "Text", "value": "a", "glow": 1}


def test_event_keeps_unknown_props_when_it_is_read_from_json() -> None:
    component = {"type": "Text", "id": "a", "glow": 1}
    frame = {"type": "widget.component.updated", "component_id": "a", "component": component}

    event = WidgetComponentUpdated.model_validate_json(json.dumps(frame))

    assert event.model_dump(mode="json") == frame


@pytest.mark.parametrize(
    "root",
    [{"type": "Hero"}, {"type": "Text", "value": "a"}, {"children": []}, {"type": ["Card"]}],
    ids=str,
)
def test_root_is_refused_when_its_type_is_unknown(root: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ROOT.validate_python(root)

    assert errors_of(caught) == [("type",)]


@pytest.mark.parametrize("root", [Text(value="a"), "Card", None], ids=repr)
def test_root_is_refused_when_it_is_no_root(root: Any) -> None:
    with pytest.raises(ValidationError, match="a Card, a ListView or a Basic"):
        ROOT.validate_python(root)


def test_typed_components_and_roots_are_kept_when_a_basic_holds_them() -> None:
    card = Card(children=[Text(value="a")])

    basic = BasicRoot(children=cast(Any, [card, Badge(label="b")]))

    assert basic.model_dump() == {
        "type": "Basic",
        "children": [
            {"type": "Card", "children": [{"type": "Text", "value": "a"}]},
            {"type": "Badge", "label": "b"},
        ],
    }
    assert reload(basic).model_dump() == basic.model_dump()


def test_type_cannot_be_changed_when_a_component_exists() -> None:
    text = Text(value="a")

    with pytest.raises(ValidationError, match="frozen"):
        text.type = cast(Any, "Title")


def test_list_rows_are_built_when_they_are_given_as_data() -> None:
    view = ListView(children=[cast(Any, {"type": "ListViewItem", "children": []})])

    assert view.children == [ListViewItem(children=[])]


JSON_VALUES = st.sampled_from(
    [None, True, 1, 1.0, 1.5, "1", "", [], {}, [None, [1]], {"a": None, "top": {"left": None}}]
)
PROPS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Text", "Row", "Icon", "DatePicker", "Gauge"])},
    optional={
        "id": st.sampled_from(["a", "b"]),
        "value": st.text(max_size=3) | JSON_VALUES,
        "name": st.sampled_from(["star", "none"]),
        "gap": st.integers(0, 3) | st.just("2px") | st.just(1.5),
        "padding": st.just({"top": 1}) | JSON_VALUES,
        "min": st.sampled_from(["2026-01-02", "2026-01-02T03:04:05Z", 5]),
        "glow": JSON_VALUES,
    },
)
COMPONENTS = st.recursive(
    PROPS,
    lambda inner: st.builds(
        lambda props, children: {**props, "children": children},
        PROPS,
        inner | st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)
ROOTS = st.builds(
    lambda kind, extra, children: {"type": kind, **extra, "children": children},
    st.sampled_from(["Card", "Basic"]),
    st.just({}) | st.just({"border": 1}),
    st.lists(COMPONENTS, max_size=3),
)


@settings(max_examples=200)
@given(ROOTS)
@example({"type": "Card", "children": [{"gap": "2px", "type": "Row", "x": None}]})
@example({"type": "Card", "children": [{"type": "Row", "gap": "2px", "x": None}]})
def test_widget_is_identical_when_any_json_is_loaded_and_stored_again(data: dict[str, Any]) -> None:
    first = ROOT.validate_python(data).model_dump_json(exclude_none=True)

    assert ROOT.validate_json(first).model_dump_json(exclude_none=True) == first
    assert ROOT.validate_python(json.loads(first)).model_dump_json() == first
