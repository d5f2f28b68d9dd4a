"""Answers that a guardrail takes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents import (
    GuardrailFunctionOutput,
    InputGuardrail,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
)

from tests.conformance.answering import answer_with_tool, do_nothing
from tests.conformance.building import card, done, message
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario
from tests.support.scripted_model import reasoning, text, turn


def guardrail(signal: asyncio.Event | None = None) -> Any:
    """Return a check that trips, as soon as ``signal`` is set if there is one."""

    async def check(*_: Any) -> GuardrailFunctionOutput:
        if signal is not None:
            await signal.wait()
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    return check


@scenario
async def input_guardrail_trips_while_the_answer_streams(talk: Talk) -> None:
    signal = asyncio.Event()

    async def trip() -> None:
        signal.set()

    steps = turn(reasoning(["Hm"]), text("Half", " a text", id="answer_1"))
    first_delta = next(each for each in steps if getattr(each, "delta", "") == "Half")
    steps.insert(steps.index(first_delta) + 1, trip)
    talk.answer_by_model(steps, input_guardrails=[InputGuardrail(guardrail(signal))])
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def output_guardrail_trips(talk: Talk) -> None:
    kit = talk.kit

    async def work(context: Any) -> None:
        await context.stream_widget(card(kit))

    answer_with_tool(talk, work, output_guardrails=[OutputGuardrail(guardrail())])
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def guardrail_is_handled_by_the_server(talk: Talk) -> None:
    answer_with_tool(talk, do_nothing, output_guardrails=[OutputGuardrail(guardrail())])
    by_model = talk.responds[0]

    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for event in by_model(thread, user_message, context):
                yield event
        except OutputGuardrailTripwireTriggered:
            yield done(talk.kit, message(talk.kit, thread, "apology", "I must not say that"))

    talk.answer(respond)
    await talk.say()
    await talk.send_to_thread("items.list")
