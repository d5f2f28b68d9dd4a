"""A tool that fails is seen as one that failed: the log says why, and no turn is empty."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import RunContextWrapper, function_tool
from agents.agent import ToolsToFinalOutputResult

from app.chatkit.agents import AgentContext, ClientToolCall, stream_agent_response
from app.chatkit.errors import CustomStreamError
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.widgets import WidgetTemplate
from tests.chatkit.agents.agent_runs import create_context, run, shape, start
from tests.chatkit.scripted_server import ADA, ScriptedServer
from tests.support.scripted_model import call, text, turn

Context = RunContextWrapper[AgentContext[Any]]
TEMPLATE = WidgetTemplate(
    {
        "version": "1.0",
        "name": "Profile",
        "template": '{"type": "Card", "children": [], "title": {{ name | tojson }}}',
    }
)


@function_tool
async def show(context: Context, name: str | None = None) -> str:
    """Show a card, if it is told the name."""
    await context.context.stream_widget(TEMPLATE.build({"name": name} if name else {}))
    return "shown"


@function_tool(timeout=0.01)
async def wait(context: Context) -> str:
    """Take too long."""
    await asyncio.Event().wait()
    return "never"


SHOW = call("show", {})
SHOW_ADA = call("show", {"name": "Ada"}, call_id="call_2")


@pytest.mark.parametrize(("tool", "made"), [(show, SHOW), (wait, call("wait", {}))])
async def test_run_fails_when_it_stops_at_a_tool_that_showed_nothing(
    tool: Any, made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CustomStreamError) as caught:
        await run([turn(made)], tools=[tool], stop_at=[tool.name])

    assert caught.value.message == f"A tool failed: {tool.name}"
    assert caught.value.allow_retry
    failures = [each for each in caplog.records if each.getMessage().startswith("A tool failed")]
    assert [each.__dict__["tool"] for each in failures] == [tool.name]


async def test_log_tells_in_full_when_a_template_fails_in_a_tool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    with pytest.raises(CustomStreamError):
        await run([turn(SHOW)], tools=[show], stop_at=["show"])

    assert "The widget template 'Profile' failed" in caplog.text
    assert "Traceback (most recent call last)" in caplog.text
    assert "UndefinedError: 'name' is undefined" in caplog.text


async def test_turn_ends_in_an_error_when_all_that_it_did_has_failed() -> None:
    server = ScriptedServer()

    async def respond(thread: Any, message: Any, context: Any) -> AsyncIterator[ThreadStreamEvent]:
        agent_context = AgentContext(thread=thread, store=server.store, request_context=context)
        result = start([turn(SHOW)], agent_context, tools=[show], stop_at=["show"])
        async for event in stream_agent_response(agent_context, result):
            yield event

    server.script = respond
    message = {"content": [], "attachments": [], "inference_options": {}}
    body = json.dumps({"type": "threads.create", "params": {"input": message}})
    frames = [each async for each in await server.process(body, ADA)]  # type: ignore[union-attr]

    assert json.loads(frames[-1].removeprefix(b"data: ")) == {
        "type": "error",
        "code": "custom",
        "message": "A tool failed: show",
        "allow_retry": True,
    }


async def test_notice_is_shown_when_something_else_was_seen() -> None:
    events = await run([turn(text("One moment."), SHOW)], tools=[show], stop_at=["show"])

    assert shape(events)[-1] == "notice"
    notice: Any = events[-1]
    assert (notice.level, notice.message) == ("danger", "A tool failed: show")


async def test_notice_names_what_failed_when_another_tool_has_worked() -> None:
    events = await run([turn(SHOW, SHOW_ADA)], tools=[show], stop_at=["show"])

    assert "done widget" in shape(events)
    assert shape(events)[-1] == "notice"


@pytest.mark.parametrize(
    "turns",
    [
        [turn(SHOW), turn(text("That did not work."))],
        [turn(SHOW), turn(SHOW_ADA), turn(text("There it is."))],
        [turn(SHOW_ADA), turn(text("There it is."))],
    ],
    ids=["the model tells", "the model tries again", "nothing has failed"],
)
async def test_nothing_is_added_when_the_run_goes_on_to_an_answer(turns: Any) -> None:
    events = await run(turns, tools=[show])

    assert shape(events)[-1] == "done message"
    assert "notice" not in shape(events)


async def test_nothing_is_added_when_the_next_call_stops_the_run() -> None:
    events = await run([turn(SHOW), turn(SHOW_ADA)], tools=[show], tool_use_behavior=_stop_if_shown)

    assert shape(events) == ["done widget"]


def _stop_if_shown(_: Any, results: list[Any]) -> Any:
    is_shown = any(each.output == "shown" for each in results)
    return ToolsToFinalOutputResult(is_final_output=is_shown, final_output="shown")


async def test_run_fails_when_the_model_says_nothing_about_a_tool_that_failed() -> None:
    with pytest.raises(CustomStreamError):
        await run([turn(SHOW), turn()], tools=[show])


async def test_exception_is_raised_when_the_tool_asks_for_that() -> None:
    @function_tool(failure_error_function=None)
    async def fail() -> str:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        await run([turn(call("fail", {}))], tools=[fail], stop_at=["fail"])


async def test_client_tool_call_stands_when_another_tool_has_failed() -> None:
    @function_tool
    async def ask(context: Context) -> str:
        context.context.client_tool_call = ClientToolCall(name="ask", arguments={})
        return "asked"

    context = await create_context()
    made = call("ask", {}, call_id="call_2")
    events = await run([turn(SHOW, made)], context, tools=[show, ask], stop_at=["ask"])

    assert shape(events) == ["done client_tool_call", "notice"]
