"""Tool calls as servers number and name them: each is one call, and the thread goes on."""

from collections.abc import Callable

import pytest

from tests.providers.checks import answers, calls, check_calls_are_answered, check_turn
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.scripts import (
    Script,
    call,
    chat,
    chunk,
    gemini,
    litellm,
    llamacpp,
    lmdeploy,
    ollama,
    sglang,
    sse,
    vllm,
)
from tests.support.conversation import Conversation, done_items

ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'

TWO_CALLS = {
    "all at index 0": ollama.CALLS_ALL_AT_INDEX_0,
    "no index": ollama.CALLS_WITHOUT_INDEX,
    "index 0, empty ids, objects": lmdeploy.CALLS_AT_INDEX_0_AND_IDS_EMPTY,
    "ids and names in every piece": lmdeploy.IDS_REPEATED_IN_EVERY_PIECE,
    "no ids": vllm.NO_IDS,
    "no id behind the first": sglang.NO_ID_BEHIND_THE_FIRST_CALL,
    "empty ids": gemini.IDS_EMPTY,
    "arguments as objects": llamacpp.ARGUMENTS_AS_AN_OBJECT,
}


def two_calls(*deltas: object) -> Script:
    return Script("a variant", (chat(*deltas), chat("Both are fine.")))


def whole(arguments: str) -> dict[str, str]:
    return {"name": "get_weather", "arguments": arguments}


VARIANTS = {
    "no index and no ids": two_calls(
        call("get_weather", ROME, index=None), call("get_weather", OSLO, index=None)
    ),
    "another id with each piece": two_calls(
        call("get_weather", "", id="a"),
        call(None, '{"city": "Ro', id="b"),
        call(None, 'me"}', id="c"),
        call("get_weather", "", index=1, id="d"),
        call(None, OSLO, index=1, id="e"),
    ),
    "one id for both": two_calls(
        call("get_weather", ROME, index=0, id="call_0"),
        call("get_weather", OSLO, index=1, id="call_0"),
    ),
    "pieces always at index 0": two_calls(
        call("get_weather", "", index=0, id="a"),
        call(None, ROME, index=0),
        call("get_weather", "", index=1, id="b"),
        call(None, OSLO, index=0),
    ),
    "names in a piece of their own": two_calls(
        call(None, None, index=0, id="a"),
        call("get_weather", None, index=0),
        call(None, ROME, index=0),
        call(None, None, index=1, id="b"),
        call("get_weather", None, index=1),
        call(None, OSLO, index=1),
    ),
    "both in one delta that is no list each": Script(
        "a variant",
        (
            sse(
                chunk({"tool_calls": call("get_weather", ROME, id="a")["tool_calls"][0]}),
                chunk({"tool_calls": call("get_weather", OSLO, id="b")["tool_calls"][0]}),
                chunk({}, "function_call"),
            ),
            chat("Both are fine."),
        ),
    ),
    "the old field": two_calls(
        {"function_call": {"name": "get_weather", "arguments": ROME}},
        {"function_call": {"name": "get_weather", "arguments": OSLO}},
    ),
    "repeated as a whole at the end": two_calls(
        call("get_weather", "", index=0, id="a"),
        call(None, ROME, index=0),
        call("get_weather", "", index=1, id="b"),
        call(None, OSLO, index=1),
        call("get_weather", ROME, index=0, id="a"),
        call("get_weather", OSLO, index=1, id="b"),
    ),
    "arguments are JSON in JSON": two_calls(
        call("get_weather", '"{\\"city\\": \\"Rome\\"}"', index=0, id="a"),
        call("get_weather", '"{\\"city\\": \\"Oslo\\"}"', index=1, id="b"),
    ),
    "not streamed after all": Script(
        "a variant",
        (
            sse(
                {
                    "choices": [
                        {
                            "message": {
                                "role": "assistant",
                                "content": None,
                                "tool_calls": [
                                    {
                                        "id": "a",
                                        "function": {"name": "get_weather", "arguments": ROME},
                                    },
                                    {
                                        "id": "b",
                                        "function": {"name": "get_weather", "arguments": OSLO},
                                    },
                                ],
                            },
                            "finish_reason": "tool_calls",
                        }
                    ]
                }
            ),
            chat("Both are fine."),
        ),
    ),
}


@pytest.mark.parametrize("name", [*TWO_CALLS, *VARIANTS])
async def test_two_calls_are_two(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str
) -> None:
    conversation = play((TWO_CALLS | VARIANTS)[name])
    events = await conversation.say("Rome and Oslo?")
    await check_turn(conversation, events)
    cards = [each["copy_text"] for each in done_items(events, "widget")]
    assert [("Rome" in card, "Oslo" in card) for card in cards] == [(True, False), (False, True)]
    assert answers(events) == ["Both are fine."]
    check_calls_are_answered(fake.streamed[1])

    fake.replies.append(chat("You are welcome."))
    assert answers(await conversation.say("Thanks")) == ["You are welcome."]
    check_calls_are_answered(fake.streamed[2])
    told = [(name, arguments) for _, name, arguments in calls(fake.streamed[2])]
    assert told == [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})]


async def test_ids_are_told_apart_across_answers(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    numbered = chat(call("get_weather", ROME, id="call_0"))
    replies = (numbered, chat("Fine."), numbered, chat("Still fine."))
    conversation = play(Script("servers that number the calls of each answer anew", replies))
    await conversation.say("Rome?")
    events = await conversation.say("And now?")
    assert answers(events) == ["Still fine."]
    check_calls_are_answered(fake.streamed[3])
    assert len(calls(fake.streamed[3])) == 2


@pytest.mark.parametrize(
    "script",
    [
        litellm.UNKNOWN_TOOL,
        Script(
            "NousResearch/hermes-agent#3468",
            (chat(call("no_such_tool", "{}", id="a")), chat("Sorry.")),
        ),
        Script("a variant", (chat(call("functions.get_weathr", ROME)), chat("Sorry."))),
    ],
)
async def test_model_is_told_that_there_is_no_such_tool(
    play: Callable[..., Conversation], fake: FakeOpenAI, script: Script
) -> None:
    conversation = play(script)
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert len(answers(events)) == 1
    check_calls_are_answered(fake.streamed[1])
    fake.replies.append(chat("Yes."))
    await conversation.say("go on")
    check_calls_are_answered(fake.streamed[2])


async def test_arguments_that_are_no_json_are_told_and_do_no_harm(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    broken = chat(call("get_weather", '{"city": "Rome', id="a"), finish="tool_calls")
    conversation = play(Script("vercel/ai#890", (broken, chat("Sorry."), chat("Yes."))))
    events = await conversation.say("Rome?")
    assert answers(events) == ["Sorry."]
    await conversation.say("go on")
    check_calls_are_answered(fake.streamed[2])  # each of which strict servers parse


async def test_text_and_a_call_without_a_name_is_the_text(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    conversation = play(
        Script("a variant", (chat("Hello.", call(None, "{}", id="a")), chat("Yes.")))
    )
    events = await conversation.say("hi")
    assert answers(events) == ["Hello."]
    assert len(fake.streamed) == 1
