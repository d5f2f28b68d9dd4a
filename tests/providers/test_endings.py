"""How an answer ended: cut, filtered, broken off or empty, and never looking complete."""

from collections.abc import Callable

import pytest

from app.chatkit.agents.provider_errors import ERROR_TEXTS
from app.chatkit.agents.provider_errors import ProviderErrorKind as Kind
from app.chatkit.agents.response_converter import NOTICE_TEXTS
from tests.providers.checks import (
    answers,
    calls,
    check_turn,
    notices,
    said,
    streamed_text,
    the_error,
    thoughts,
)
from tests.providers.fake_openai import FakeOpenAI, Raw
from tests.providers.scripts import (
    Script,
    added,
    azure,
    call,
    chat,
    chunk,
    finished,
    function_call,
    gemini,
    litellm,
    llamacpp,
    message,
    mistral,
    ollama,
    openrouter,
    responses,
    sglang,
    sse,
    text_delta,
    vllm,
)
from tests.support.conversation import Conversation, done_items

KEPT = "As far as I got"
LENGTH, FILTER = NOTICE_TEXTS["max_output_tokens"], NOTICE_TEXTS["content_filter"]


def cut(finish: str) -> Script:
    return Script("a variant", (chat(KEPT, finish=finish),))


def incomplete(reason: str | None) -> Script:
    details = {"reason": reason} if reason else None
    item = message(KEPT, status="incomplete")
    events = (added(message("")), text_delta(KEPT), finished(item))
    answer = responses(*events, output=[item], status="incomplete", incomplete_details=details)
    return Script("the API's own", (answer,), "responses")


def called_complete(status: str, **fields: object) -> Script:
    """Return a response whose last event says ``completed``, and whose status says more."""
    item = message(KEPT)
    answer = responses(added(message("")), text_delta(KEPT), finished(item), output=[item])
    said_so = answer.frames[-1].replace(
        '"status": "completed", "output"', f'"status": "{status}", "output"'
    )
    for name, value in fields.items():
        said_so = said_so.replace('"output":', f'"{name}": {value}, "output":', 1)
    return Script("a variant", (Raw((*answer.frames[:-1], said_so)),), "responses")


CUT = {
    "length": (vllm.ONE_SLOW_LETTER_IN_THE_LAST_CHUNK, LENGTH),
    "filter": (azure.CUT_BY_THE_FILTER, FILTER),
    "Mistral's length": (mistral.CUT_BY_THE_MODELS_LENGTH, LENGTH),
    "Gemini's safety": (gemini.BLOCKED_FOR_SAFETY, FILTER),
    "MAX_TOKENS": (cut("MAX_TOKENS"), LENGTH),
    "FINISH_REASON_RECITATION": (cut("FINISH_REASON_RECITATION"), FILTER),
    "sensitive": (cut("sensitive"), FILTER),
    "Responses, length": (incomplete("max_output_tokens"), LENGTH),
    "Responses, filter": (incomplete("content_filter"), FILTER),
    "Responses, no reason": (incomplete(None), NOTICE_TEXTS["incomplete"]),
    "Responses, called complete": (called_complete("incomplete"), NOTICE_TEXTS["incomplete"]),
    "no reason, but an end": (sglang.ROLES_AND_FIELDS_OF_NULL, NOTICE_TEXTS["incomplete"]),
}


@pytest.mark.parametrize("name", CUT)
async def test_text_is_kept_and_the_cut_is_told(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    script, notice = CUT[name]
    conversation = play(script)
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    (text,) = answers(events)
    assert text in (KEPT, "Hello.")
    assert notices(events) == [notice]
    fake.replies.append(script.replies[0])
    await conversation.say("Go on")
    assert said(fake.streamed[1])[1] == ("assistant", text)


HALF = responses(added(message("")), text_delta(KEPT), text_delta("<"))

BROKEN = {
    "no terminal chunk": gemini.NO_TERMINAL_CHUNK,
    "aborted": vllm.ABORTED,
    "error": openrouter.PROVIDER_LOST_IN_THE_MIDDLE,
    "error on the choice": openrouter.ERROR_ON_THE_CHOICE,
    "error chunk": openrouter.ERROR_CHUNK,
    "network_error": cut("network_error"),
    "insufficient_system_resource": cut("insufficient_system_resource"),
    "half a tag at the end": Script("a variant", (chat(KEPT[:-1], "t<", finish=None, done=False),)),
    "Responses, no last event": Script(
        "a variant", (responses(added(message("")), text_delta(KEPT)),), "responses"
    ),
    "Responses, failed": called_complete("failed", error='{"code": "server_error", "message": ""}'),
    "Responses, cut off": Script(
        "a variant",
        (
            Raw(
                responses(added(message("")), text_delta(KEPT), text_delta("<")).frames, broken=True
            ),
        ),
        "responses",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_text_is_kept_and_the_failure_is_told(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    conversation = play(BROKEN[name])
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert the_error(events)["allow_retry"] is True
    assert [each.removesuffix("<") for each in answers(events)] == [KEPT]
    assert streamed_text(events).removesuffix("<") == KEPT
    fake.replies.append(chat("Here again.") if BROKEN[name].api == "chat_completions" else SPOKEN)
    assert answers(await conversation.say("again")) == ["Here again."]


SPOKEN = responses(text_delta("Here again."), output=[message("Here again.")])

EMPTY = {
    "nothing": (Script("a variant", (chat(),)), Kind.SERVER_ERROR),
    "killed upstream": (litellm.UPSTREAM_KILLED, Kind.SERVER_ERROR),
    "only white space": (Script("a variant", (chat("\n\n", " "),)), Kind.SERVER_ERROR),
    "reasoning": (vllm.EVERY_ANSWER_IN_THE_REASONING, Kind.SERVER_ERROR),
    "reasoning, Responses": (llamacpp.CUT_WITHIN_ITS_THOUGHTS, Kind.SERVER_ERROR),
    "length, nothing": (Script("a variant", (chat(finish="length"),)), Kind.CUT_SHORT),
    "length, reasoning": (
        Script("a variant", (chat({"reasoning_content": "Hm"}, finish="length"),)),
        Kind.CUT_SHORT,
    ),
    "filter, nothing": (Script("a variant", (chat(finish="content_filter"),)), Kind.CONTENT_FILTER),
    "calls without a call": (Script("a variant", (chat(finish="tool_calls"),)), Kind.SERVER_ERROR),
    "malformed call": (gemini.MALFORMED_CALL, Kind.SERVER_ERROR),
    "cut call": (
        Script("a variant", (chat(call("get_weather", '{"city": "Ro', id="a"), finish="length"),)),
        Kind.CUT_SHORT,
    ),
    "cut call, Responses": (
        Script(
            "a variant",
            (
                responses(
                    added(function_call("get_weather", "")),
                    output=[function_call("get_weather", '{"city": "Ro')],
                    status="incomplete",
                    incomplete_details={"reason": "max_output_tokens"},
                ),
            ),
            "responses",
        ),
        Kind.CUT_SHORT,
    ),
    "empty message, Responses": (
        Script(
            "a variant",
            (responses(added(message("")), finished(message("")), output=[message("")]),),
            "responses",
        ),
        Kind.SERVER_ERROR,
    ),
    "output of null, Responses": (
        Script("a variant", (responses(output=[None]),), "responses"),
        Kind.SERVER_ERROR,
    ),
}


@pytest.mark.parametrize("name", EMPTY)
async def test_no_answer_is_told(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    script, kind = EMPTY[name]
    conversation = play(Script(script.report, script.replies[:1], script.api))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == []
    error = the_error(events)
    assert error["message"] == ERROR_TEXTS[kind]
    assert error["allow_retry"] is (kind is not Kind.CONTENT_FILTER)
    for workflow in done_items(events, "workflow"):
        assert workflow["workflow"]["summary"]
    fake.replies.append(chat("Here again.") if script.api == "chat_completions" else SPOKEN)
    assert answers(await conversation.say("again")) == ["Here again."]
    assert calls(fake.streamed[1]) == []


async def test_call_that_was_cut_is_no_call_beside_the_text(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    asks = chat(KEPT, call("get_weather", '{"city": "Rome"}', id="a"), finish="length")
    conversation = play(Script("a variant", (asks, chat("Fine."))))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert (answers(events), notices(events)) == ([KEPT], [LENGTH])
    assert len(fake.streamed) == 1
    await conversation.say("Go on")
    assert calls(fake.streamed[1]) == []


async def test_calls_are_made_of_a_server_that_never_says_how_it_ended(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    asks = chat(call("get_weather", '{"city": "Rome"}', id="a"), finish=None)
    events = await play(Script("waybarrios/vllm-mlx#628", (asks, chat("Fine.")))).say("hi")
    assert done_items(events, "widget")
    assert answers(events) == ["Fine."]


@pytest.mark.parametrize(
    "script",
    [
        ollama.EMPTY_FINISH_REASONS,
        azure.CHOICES_EMPTY_AND_DELTA_LEFT_OUT,
        azure.DELTA_OF_NULL,
        openrouter.CHOICES_OF_NULL,
        Script("a variant", (sse(chunk({"content": "Hello."}), chunk({}, "eos")),)),
        Script("a variant", (sse(chunk("Hello."), chunk(None, "end_turn")),)),
        Script(
            "a variant",
            (
                sse(
                    {
                        "choices": [
                            {"index": 1, "delta": {"content": "Hello."}, "finish_reason": "stop"}
                        ]
                    }
                ),
            ),
        ),
        Script(
            "a variant",
            (
                sse(
                    {
                        "choices": [
                            {"index": 0, "delta": {"content": "Hello."}},
                            {"index": 1, "delta": {"content": "Another."}},
                        ]
                    },
                    chunk({}, "stop", usage={"prompt_tokens": "12", "completion_tokens": 3.0}),
                ),
            ),
        ),
        Script(
            "a variant",
            (sse({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}),),
        ),
        Script("a variant", (sse(chunk({"content": "Hello."}), chunk({}, "stop", usage={})),)),
    ],
)
async def test_whole_answer_is_whole_whatever_its_chunks_leave_out(
    play: Callable[..., Conversation], script: Script
) -> None:
    conversation = play(script)
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert [each.removesuffix(" there.").removesuffix(".") for each in answers(events)] == ["Hello"]
    assert [each for each in events if each["type"] in ("error", "notice")] == []
    assert thoughts(events) == []
