"""What servers leave out of a stream of the Responses API, or send otherwise than OpenAI does."""

import json
from collections.abc import Callable

import pytest

from tests.providers.checks import (
    answers,
    calls,
    check_calls_are_answered,
    check_turn,
    said,
    streamed_text,
    thoughts,
)
from tests.providers.fake_openai import FakeOpenAI, Raw
from tests.providers.scripts import (
    Script,
    added,
    call,
    chat,
    finished,
    function_call,
    litellm,
    llamacpp,
    message,
    responses,
    text_delta,
    vllm,
)
from tests.support.conversation import Conversation, done_items, types

ANSWERED = responses(added(message("")), text_delta("Fine."), finished(message("Fine.")), output=[])


def script(*events: object, output: object = (), **fields: object) -> Script:
    answer = responses(*events, output=list(output) if output is not None else None, **fields)
    return Script("a variant", (answer, ANSWERED), "responses")


HELLO = {
    "never announced": litellm.NEVER_ANNOUNCED,
    "never streamed": litellm.NEVER_STREAMED,
    "final response without output": vllm.FINAL_RESPONSE_WITHOUT_OUTPUT,
    "announced, never finished": script(added(message("")), text_delta("Hello.")),
    "no ids": script(
        {"type": "response.output_item.added", "item": message("", None)},
        {"type": "response.output_text.delta", "delta": "Hel"},
        {"type": "response.output_text.delta", "delta": "lo."},
        {"type": "response.output_item.done", "item": message("Hello.", None)},
        output=[message("Hello.", None)],
    ),
    "finished, never announced": script(finished(message("Hello."))),
    "the end of the text alone": script(
        {"type": "response.output_text.done", "text": "Hello.", "item_id": "msg_1"},
        output=[message("Hello.")],
    ),
    "announced twice": script(
        added(message("")), added(message("")), text_delta("Hello."), finished(message("Hello."))
    ),
    "finished twice": script(
        added(message("")),
        text_delta("Hello."),
        finished(message("Hello.")),
        finished(message("Hello.")),
        output=[message("Hello.")],
    ),
    "text in the announcement": script(added(message("Hello.")), finished(message("Hello."))),
    "another id at the end": script(
        added(message("")),
        text_delta("Hello.", "msg_2"),
        finished(message("Hello.", "msg_3")),
        output=[message("Hello.", "msg_4")],
    ),
    "deltas of null": script(added(message("")), text_delta(None), text_delta("Hello.")),
    "an empty message first": script(
        added(message("", "msg_0")),
        finished(message("", "msg_0")),
        added(message(""), 1),
        text_delta("Hello.", index=1),
        finished(message("Hello."), 1),
        output=[message("", "msg_0"), message("Hello.")],
    ),
    "items of null and of unknown kinds": script(
        {"type": "response.output_item.added", "output_index": 0, "item": None},
        added({"type": "telepathy", "id": "t_1"}),
        finished({"type": "telepathy", "id": "t_1"}),
        added(message(""), 1),
        text_delta("Hello.", index=1),
        {"type": "response.telepathy.delta", "delta": "!"},
        output=[None, {"type": "telepathy", "id": "t_1"}, message("Hello.")],
    ),
    "a final response of null": Script(
        "a variant",
        (
            Raw(
                (
                    *responses(added(message("")), text_delta("Hello.")).frames,
                    'data: {"type": "response.completed", "response": null}\n\n',
                )
            ),
            ANSWERED,
        ),
        "responses",
    ),
    "done by another name": Script(
        "a variant",
        (
            Raw(
                (
                    *responses(added(message("")), text_delta("Hello.")).frames,
                    'data: {"type": "response.done", "response": {"id": "r", "output": []}}\n\n',
                )
            ),
            ANSWERED,
        ),
        "responses",
    ),
    "usage that counts nothing": script(
        added(message("")), text_delta("Hello."), usage={"input_tokens": None}
    ),
    "usage that is a number": script(added(message("")), text_delta("Hello."), usage=12),
}


@pytest.mark.parametrize("name", HELLO)
async def test_message_is_announced_filled_and_finished(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    conversation = play(HELLO[name])
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == ["Hello."]
    assert streamed_text(events) == "Hello."
    assert [each for each in events if each["type"] in ("error", "notice")] == []
    announced = [e for e in events if e["type"] == "thread.item.added"]
    assert len(announced) == 1
    await conversation.say("And you?")
    assert said(fake.streamed[1])[:2] == [("user", "hi"), ("assistant", "Hello.")]


@pytest.mark.parametrize(
    "recorded", [llamacpp.NO_PLACES, litellm.AN_ID_PER_EVENT], ids=["llama.cpp", "LiteLLM"]
)
async def test_recorded_answer_is_shown_as_any_other(
    play: Callable[..., Conversation], fake: FakeOpenAI, recorded: Script
) -> None:
    conversation = play(recorded)
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == ["Hello! Welcome to my chat. I'm glad you're"]
    assert streamed_text(events) == answers(events)[0]


@pytest.mark.parametrize(
    "recorded",
    [llamacpp.CALL_WITHOUT_PLACE, litellm.CALL_ONLY_IN_THE_FINAL_RESPONSE],
    ids=["llama.cpp", "LiteLLM"],
)
async def test_recorded_call_is_made_without_an_empty_bubble(
    play: Callable[..., Conversation], fake: FakeOpenAI, recorded: Script
) -> None:
    conversation = play(recorded)
    events = await conversation.say("Paris?")
    await check_turn(conversation, events)
    assert done_items(events, "widget")
    assert len(answers(events)) == 1
    assert [arguments for _, _, arguments in calls(fake.streamed[1])] == [{"city": "Paris"}]
    check_calls_are_answered(fake.streamed[1])
    check_no_empty_messages(fake)


def check_no_empty_messages(fake: FakeOpenAI) -> None:
    for request in fake.streamed:
        for each in request.body.get("input", request.body.get("messages")):
            if each.get("role") == "assistant":
                assert each.get("content") or each.get("tool_calls")


CALL = function_call("get_weather", '{"city": "Rome"}')

CALLS = {
    "arguments as an object": script(output=[function_call("get_weather", {"city": "Rome"})]),
    "never finished": script(
        added(function_call("get_weather", "")),
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"city":'},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '"Rome"}'},
    ),
    "finished, but not in the final response": script(
        added(CALL), finished(CALL), output=[message("")]
    ),
    "no ids": script(output=[function_call("get_weather", '{"city": "Rome"}', None, "")]),
    "an empty message beside it": script(
        added(message("")),
        finished(message("")),
        added(CALL, 1),
        finished(CALL, 1),
        output=[message(""), CALL],
    ),
    "white space beside it": script(
        added(message("")),
        text_delta("\n\n"),
        finished(message("\n\n")),
        output=[message("\n\n"), CALL],
    ),
    "Chat: an empty delta beside it": Script(
        "a variant",
        (chat("", call("get_weather", '{"city": "Rome"}', id="a"), ""), chat("Fine.")),
    ),
    "Chat: white space beside it": Script(
        "QwenLM/Qwen3#1817",
        (chat("\n", "\n", call("get_weather", '{"city": "Rome"}', id="a")), chat("Fine.")),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_call_is_made_and_no_empty_bubble_shown_stored_or_sent(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    conversation = play(CALLS[name])
    events = await conversation.say("Rome?")
    await check_turn(conversation, events)
    assert "Rome" in done_items(events, "widget")[0]["copy_text"]
    assert answers(events) == ["Fine."]
    check_calls_are_answered(fake.streamed[1])
    check_no_empty_messages(fake)


async def test_reasoning_that_was_never_streamed_is_shown(
    play: Callable[..., Conversation],
) -> None:
    thought = {"type": "reasoning_text", "text": "They greet me."}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [thought]}
    conversation = play(script(finished(reasoning), output=[reasoning, message("Hello.")]))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert (thoughts(events), answers(events)) == (["They greet me."], ["Hello."])


# --- halves of characters ------------------------------------------------------------------------

HIGH, LOW = "\ud83d", "\ude00"
HALVES = {
    "over two deltas": ([f"Hi {HIGH}", f"{LOW} there"], "Hi 😀 there"),
    "alone": ([f"Hi {HIGH}", " there"], "Hi \ufffd there"),
    "alone at the end": (["Hi ", HIGH], "Hi \ufffd"),
    "the second alone": (["Hi ", f"{LOW} there"], "Hi \ufffd there"),
    "one by one": ([HIGH, LOW, HIGH, LOW], "😀😀"),
    "within one delta": ([f"Hi {HIGH}{LOW}"], "Hi 😀"),
    "around a delta of nothing": ([HIGH, "", LOW], "😀"),
}


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
@pytest.mark.parametrize("name", HALVES)
async def test_halves_of_a_character_are_put_together(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str, api: str
) -> None:
    deltas, text = HALVES[name]
    whole = message("".join(deltas))
    in_responses = responses(
        added(message("")), *map(text_delta, deltas), finished(whole), output=[whole]
    )
    answer = chat(*deltas) if api == "chat_completions" else in_responses
    conversation = play(Script("elie222/rakazo#416", (answer, answer), api))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == [text]
    assert streamed_text(events) == text
    await conversation.say("again")
    assert said(fake.streamed[1])[1] == ("assistant", text)


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_halves_are_put_together_in_arguments_and_reasoning(
    play: Callable[..., Conversation], fake: FakeOpenAI, api: str
) -> None:
    pieces = [f'{{"city": "{HIGH}', f'{LOW}{HIGH}"}}']
    if api == "chat_completions":
        asks = chat(
            {"reasoning_content": HIGH},
            {"reasoning_content": LOW},
            call("get_weather", pieces[0], id="a"),
            call(None, pieces[1]),
        )
        conversation = play(Script("a variant", (asks, chat("Fine."))))
    else:
        place = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
        kind = "response.reasoning_text.delta"
        item = function_call("get_weather", "".join(pieces))
        asks = responses(
            {"type": kind, "delta": HIGH, **place},
            {"type": kind, "delta": LOW, **place},
            added(item, 1),
            finished(item, 1),
            output=[item],
        )
        conversation = play(Script("a variant", (asks, ANSWERED), api))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert thoughts(events) == ["😀"]
    assert [arguments for _, _, arguments in calls(fake.streamed[1])] == [{"city": "😀\ufffd"}]


async def test_polite_answer_passes_as_it_always_did(
    play: Callable[..., Conversation],
) -> None:
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    polite = responses(
        added(message("")),
        {"type": "response.content_part.added", "part": part, **place},
        text_delta("Hello."),
        {"type": "response.output_text.done", "text": "Hello.", "logprobs": [], **place},
        {"type": "response.content_part.done", "part": {**part, "text": "Hello."}, **place},
        finished(message("Hello.")),
        output=[message("Hello.")],
    )
    conversation = play(Script("the API's own", (polite,), "responses"))
    events = await conversation.say("hi")
    assert types([e for e in events if e["type"].startswith("thread.item")])[1:] == [
        "thread.item.added(assistant_message)",
        "assistant_message.content_part.added",
        "assistant_message.content_part.text_delta",
        "assistant_message.content_part.done",
        "thread.item.done(assistant_message)",
    ]
    assert json.dumps(events).count("Hello.") == 3
