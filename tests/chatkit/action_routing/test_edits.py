"""What a handler does to the widget of its action in one line: fill it in, use it up."""

from typing import Any

import pytest
from pydantic import BaseModel, Field

from app.chatkit.action_routing.offers import list_offers
from app.chatkit.action_routing.widget_edits import consume, fill_in
from app.chatkit.actions import ActionConfig
from app.chatkit.widgets import (
    Button,
    Card,
    Checkbox,
    DatePicker,
    DynamicWidgetRoot,
    Form,
    Icon,
    Input,
    ListView,
    ListViewItem,
    RadioGroup,
    Select,
    Text,
    Textarea,
)
from app.chatkit.widgets.templates import WidgetTemplate
from tests.chatkit.widgets.examples import FILES, STATES

GO = ActionConfig(type="go", payload={"action": {"type": "not an action"}, "name": "x"})


@pytest.mark.parametrize(
    ("component", "value", "filled"),
    [
        (Input(name="a.b"), "x", {"defaultValue": "x"}),
        (Input(name="a.b", defaultValue="old"), "", {"defaultValue": ""}),
        (Input(name="a.b", defaultValue="old"), None, {}),
        (Input(name="a.b"), 5, {"defaultValue": "5"}),
        (Textarea(name="a.b"), "x", {"defaultValue": "x"}),
        (Select(name="a.b", options=[]), "x", {"options": [], "defaultValue": "x"}),
        (RadioGroup(name="a.b"), "x", {"defaultValue": "x"}),
        (DatePicker(name="a.b"), "2030-01-02", {"defaultValue": "2030-01-02"}),
        (Checkbox(name="a.b"), True, {"defaultChecked": True}),
        (Checkbox(name="a.b", defaultChecked=True), False, {"defaultChecked": False}),
    ],
)
def test_input_holds_the_value_when_it_is_filled_in(
    component: Any, value: Any, filled: dict[str, Any]
) -> None:
    card = fill_in(Card(children=[[component]]), {"a": {"b": value}, "c": 1})
    expected = {"type": component.type, "name": "a.b", **filled}
    assert card.model_dump(mode="json") == {"type": "Card", "children": [[expected]]}


def test_text_and_unknown_inputs_hold_their_values_when_they_are_filled_in() -> None:
    slider = {"type": "Slider", "name": "level"}
    card = DynamicWidgetRoot.model_validate(
        {
            "type": "Card",
            "children": [{"type": "Text", "value": "", "editable": {"name": "note"}}, slider],
        }
    )
    filled = fill_in(card, {"level": 18.5, "note": "Hi"}).model_dump(mode="json")
    assert filled["children"][0]["value"] == "Hi"
    assert filled["children"][1]["defaultValue"] == 18.5


def test_only_set_fields_are_filled_in_when_the_values_are_a_model() -> None:
    class Values(BaseModel):
        first: str = "default"
        second: str = Field(default="", alias="2nd")

    card = Card(children=[Input(name="first", defaultValue="kept"), Input(name="2nd")])
    filled = fill_in(card, Values.model_validate({"2nd": "b"}))
    assert filled == Card(
        children=[Input(name="first", defaultValue="kept"), Input(name="2nd", defaultValue="b")]
    )


def test_nothing_changes_when_no_input_has_the_name() -> None:
    card = Card(children=[Icon(name="star"), Button(label="Go", onClickAction=GO)])
    assert fill_in(card, {"star": "x", "name": "y"}) == card


def test_widget_shows_the_same_but_offers_nothing_when_it_is_consumed() -> None:
    card = Card(
        asForm=True,
        children=[
            Text(value="Shown", editable={"name": "t"}),
            Form(onSubmitAction=GO, children=[Input(name="a"), Button(submit=True)]),
            Checkbox(name="b", onChangeAction=GO),
        ],
        confirm={"label": "OK", "action": GO},
        cancel={"label": "No", "action": GO},
    )
    assert consume(card) == Card(
        asForm=False,
        children=[
            Text(value="Shown", editable=False),
            Form(children=[Input(name="a", disabled=True), Button(submit=True, disabled=True)]),
            Checkbox(name="b", disabled=True),
        ],
    )
    rows = ListView(children=[ListViewItem(children=[], onClickAction=GO)])
    assert consume(rows) == ListView(children=[ListViewItem(children=[])])


@pytest.mark.parametrize("path", sorted(FILES.glob("*.widget")), ids=lambda path: path.stem)
def test_nothing_is_offered_when_any_example_is_consumed(path: Any) -> None:
    for data in STATES[path.stem]:
        widget = WidgetTemplate.from_file(path).build(data)
        consumed = consume(widget)
        assert list_offers(consumed) == []
        assert consume(consumed) == consumed
