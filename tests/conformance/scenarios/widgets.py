"""Widgets, at once and in states."""

from collections.abc import AsyncIterator
from typing import Any

from tests.conformance.answering import Events
from tests.conformance.building import card
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario


def show(talk: Talk, *states: Any, copy_text: str | None = None) -> None:
    """Let every turn stream a widget's states; a single one is shown as it is."""

    async def stream() -> AsyncIterator[Any]:
        for state in states:
            yield state

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        widget = states[0] if len(states) == 1 else stream()
        async for event in talk.kit.server.stream_widget(thread, widget, copy_text):
            yield event

    talk.answer(respond)


@scenario
async def static_widgets(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets
    action = kit.actions.ActionConfig(type="go", payload={"a": 1}, loadingBehavior="self")
    row = widgets.Row(children=[widgets.Text(value="a"), widgets.Badge(label="b", color="info")])
    button = widgets.Button(label="Go", onClickAction=action, disabled=None)
    show(talk, card(kit, row, button, size="sm", padding=2), copy_text="Copy")
    await talk.say()
    items = [widgets.ListViewItem(children=[widgets.Title(value=each)]) for each in "ab"]
    show(talk, widgets.ListView(children=items, limit="auto", status={"text": "Two"}))
    await talk.say()
    basic = {"type": "Basic", "children": [{"type": "Text", "value": "x", "own": [1]}]}
    show(talk, widgets.DynamicWidgetRoot.model_validate(basic))
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def widget_text_is_streamed(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets

    def state(first: str, second: str, *, streaming: bool) -> Any:
        markdown = widgets.Markdown(id="second", value=second, streaming=streaming)
        return card(kit, widgets.Text(id="first", value=first, streaming=True), markdown)

    show(
        talk,
        state("", "", streaming=True),
        state("a", "", streaming=True),
        state("ab", "x", streaming=True),
        state("ab", "x", streaming=True),
        state("abc", "xy", streaming=True),
    )
    await talk.say()


@scenario
async def widget_is_replaced_while_it_streams(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(
        talk,
        card(kit, text(id="a", value="One")),
        card(kit, text(id="a", value="Two")),
        card(kit, text(id="a", value="Two"), text(value="More")),
        card(kit, text(id="a", value="Two"), text(value="More"), size="lg"),
    )
    await talk.say()


@scenario
async def widget_text_ends_with_streaming_off(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(
        talk,
        card(kit, text(id="a", value="", streaming=True)),
        card(kit, text(id="a", value="One", streaming=True)),
        card(kit, text(id="a", value="One more", streaming=False)),
    )
    await talk.say()


@scenario
async def widget_text_without_an_id_grows(talk: Talk) -> None:
    kit, text = talk.kit, talk.kit.widgets.Text
    show(talk, card(kit, text(value="a")), card(kit, text(value="ab")))
    await talk.say()


@scenario
async def widget_stream_without_a_state(talk: Talk) -> None:
    show(talk)
    await talk.say()


@scenario
async def widget_stream_is_no_generator(talk: Talk) -> None:
    class States:
        left = ("a", "ab")

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            if not self.left:
                raise StopAsyncIteration
            value, *self.left = self.left
            return card(talk.kit, talk.kit.widgets.Text(id="t", value=value))

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        async for event in talk.kit.server.stream_widget(thread, States()):
            yield event

    talk.answer(respond)
    await talk.say()


@scenario
async def property_appears_while_a_widget_streams(talk: Talk) -> None:
    root = talk.kit.widgets.DynamicWidgetRoot
    show(
        talk,
        root.model_validate({"type": "Card", "children": [{"type": "Own"}]}),
        root.model_validate({"type": "Card", "children": [{"type": "Own", "extra": 1}]}),
    )
    await talk.say()


@scenario
async def widget_with_nulls_in_an_action(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets
    payload = {"a": None, "list": [None, 1]}
    action = kit.actions.ActionConfig(type="go", payload=payload)
    show(talk, card(kit, widgets.Button(label="Go", onClickAction=action)))
    await talk.say()


@scenario
async def widget_from_a_template(talk: Talk) -> None:
    template = '{"type": "Card", "children": [{"type": "Text", "value": {{ name | tojson }}}]}'
    definition = {"version": "1.0", "name": "hello", "template": template, "jsonSchema": {}}
    widget = talk.kit.widgets.WidgetTemplate(definition).build({"name": 'A "quoted" name'})
    show(talk, widget)
    await talk.say()
    await talk.send_to_thread("items.list")
