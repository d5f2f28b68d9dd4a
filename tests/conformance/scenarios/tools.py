"""What the tools of an agent show."""

from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Runner

from tests.conformance.answering import answer_with_tool
from tests.conformance.building import card, done, item
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario
from tests.support.scripted_model import ScriptedModel, text, turn


@scenario
async def tool_is_called_silently(talk: Talk) -> None:
    async def work(context: Any) -> None:
        return None

    answer_with_tool(talk, work)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def tool_fails(talk: Talk) -> None:
    async def work(context: Any) -> None:
        raise ValueError("broken")

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def tool_streams_events(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        await context.stream(types.ProgressUpdateEvent(text="Working", icon="bolt"))
        await context.stream(types.ClientEffectEvent(name="open", data={"a": 1}))
        await context.stream(types.NoticeEvent(level="danger", message="Careful"))
        note_id = context.generate_id("message")
        note = item(talk.kit, "HiddenContextItem", context.thread, note_id, content="x")
        await context.stream(done(talk.kit, note))
        await context.stream(types.ErrorEvent(message="Half failed"))
        context.thread.title = context.generate_id("thread")

    answer_with_tool(talk, work)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def tool_shows_widgets(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets

    async def states() -> AsyncIterator[Any]:
        for value in ("", "a", "ab"):
            yield card(kit, widgets.Text(id="t", value=value, streaming=True))

    async def work(context: Any) -> None:
        await context.stream_widget(card(kit, widgets.Divider()), copy_text="Copy")
        await context.stream_widget(states())

    answer_with_tool(talk, work)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def model_text_is_shown_in_a_widget(talk: Talk) -> None:
    kit, widgets = talk.kit, talk.kit.widgets

    async def states() -> AsyncIterator[Any]:
        model = ScriptedModel([turn(text("Some ", "text", id="inner"))], paced=True)
        result = Runner.run_streamed(Agent(name="inner", model=model), "Hello")
        base = widgets.Markdown(id="m", value="", streaming=True)
        async for each in kit.agents.accumulate_text(result.stream_events(), base):
            yield card(kit, each)

    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        async for event in kit.agents.stream_widget(thread, states(), "Copy"):
            yield event

    talk.answer(respond)
    await talk.say()
