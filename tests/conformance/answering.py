"""Ways to answer that many scenarios share."""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from agents import FunctionTool, RunContextWrapper, function_tool

from tests.conformance.building import done, message
from tests.conformance.harness import Talk, settle
from tests.support.scripted_model import call, text, turn

Events = AsyncIterator[Any]
Work = Callable[[Any], Any]


def answer_with_message(talk: Talk) -> None:
    """Let every turn answer with one finished message."""
    turns = iter(range(1, 100))

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        yield done(talk.kit, message(talk.kit, thread, f"answer_{next(turns)}", "Hi"))

    talk.answer(respond)


async def do_nothing(context: Any) -> None:
    return None


class Unhurried:
    """An agent context that rests behind every call, until the reader has what was streamed."""

    def __init__(self, context: Any) -> None:
        self.__dict__["context"] = context

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.context, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call_and_rest(*args: Any, **kwargs: Any) -> None:
            await value(*args, **kwargs)
            await settle()

        return call_and_rest

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.context, name, value)


def tool(name: str, work: Work) -> FunctionTool:
    """Return a tool that does ``work`` with the agent context."""

    async def run(wrapper: RunContextWrapper[Any]) -> str:
        await work(Unhurried(wrapper.context))
        return f"{name} is done"

    return function_tool(run, name_override=name, description_override=name)


def answer_with_tool(talk: Talk, work: Work, **options: Any) -> None:
    """Let the model call a tool that does ``work``, and then say so."""
    turns = [turn(call("work", id="fc_1")), turn(text("Done", ".", id="answer_1"))]
    talk.answer_by_model(*turns, tools=[tool("work", work)], **options)
