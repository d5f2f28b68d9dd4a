"""Answers that nobody reads to their end."""

from typing import Any

from tests.conformance.answering import Events
from tests.conformance.building import added, card, item, message, text_delta
from tests.conformance.harness import Gate, Talk, settle, user_input
from tests.conformance.registry import scenario
from tests.support.scripted_model import text, turn

# --- handlers -------------------------------------------------------------------------------------


def answer_until(
    talk: Talk, gate: Gate, *, blank: bool = False, parts: tuple[str, ...] = ("",)
) -> dict[str, Any]:
    """Let the answer stop at ``gate`` after half a text; return the request's parameters."""

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield added(kit, message(kit, thread, "answer_1", *parts))
        if not blank:
            yield text_delta(kit, "answer_1", "Half a ")
            yield text_delta(kit, "answer_1", "text")
        yield added(kit, item(kit, "WidgetItem", thread, "widget_1", widget=card(kit)))
        await gate.hold()

    talk.answer(respond)
    return {"input": user_input()}


@scenario
async def reader_is_cancelled(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate)
    await talk.cancel_at(gate, "threads.create", **params)
    await talk.send_to_thread("items.list")


@scenario
async def reader_is_cancelled_while_text_comes_without_a_part(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate, parts=())
    await talk.cancel_at(gate, "threads.create", **params)
    await talk.send_to_thread("items.list")


@scenario
async def reader_is_cancelled_before_any_text(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate, blank=True)
    await talk.cancel_at(gate, "threads.create", **params)


@scenario
async def reader_is_cancelled_with_a_handler_of_its_own(talk: Talk) -> None:
    async def handle(thread: Any, pending_items: list[Any], context: Any) -> None:
        seen = [(each.type, each.id) for each in pending_items]
        talk.transcript.note(f"cancelled with {seen}")

    gate = Gate()
    params = answer_until(talk, gate)
    talk.override(handle_stream_cancelled=handle)
    await talk.cancel_at(gate, "threads.create", **params)


@scenario
async def reader_disconnects(talk: Talk) -> None:
    gate = Gate()
    params = answer_until(talk, gate)
    add_thread_item = talk.store.add_thread_item

    async def add_slowly(*args: Any, **kwargs: Any) -> None:
        await settle()  # as every real database makes its callers wait
        await add_thread_item(*args, **kwargs)

    talk.store.add_thread_item = add_slowly
    await talk.disconnect_at(gate, "threads.create", **params)


@scenario
async def stream_is_closed(talk: Talk) -> None:
    params = answer_until(talk, Gate())
    await talk.close_after(6, "threads.create", **params)


@scenario
async def title_is_set_before_a_cancel(talk: Talk) -> None:
    gate = Gate()

    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        thread.title = "Kept"
        await gate.hold()
        yield

    params = answer_until(talk, gate)
    talk.answer(respond)
    await talk.cancel_at(gate, "threads.create", **params)


# --- models ---------------------------------------------------------------------------------------


@scenario
async def model_answer_is_cancelled(talk: Talk) -> None:
    gate = Gate()
    half = text("Half", " a text", id="answer_1", finished=False)
    talk.answer_by_model(turn(half, ending=[gate.hold]))
    await talk.cancel_at(gate, "threads.create", input=user_input())
    await talk.send_to_thread("items.list")


@scenario
async def model_stream_is_closed(talk: Talk) -> None:
    gate = Gate()
    talk.answer_by_model(turn(text("Half", id="answer_1", finished=False), ending=[gate.hold]))
    await talk.close_after(6, "threads.create", input=user_input())
