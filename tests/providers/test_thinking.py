"""Thinking that a server leaves in the text: a workflow, no part of the answer, not replayed."""

import json
from collections.abc import Callable

import pytest

from app.chatkit.agents.provider_errors import ERROR_TEXTS, ProviderErrorKind
from tests.providers.checks import answers, check_turn, said, the_error, thoughts
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.scripts import Script, call, chat, llamacpp, mistral, ollama, open_models
from tests.support.conversation import Conversation

THOUGHT, ANSWER = "They greet me.", "Hello."

TEXTS = {
    "think tags": open_models.THINK_TAGS.text,
    "never opened": open_models.TAG_NEVER_OPENED.text,
    "capitals": open_models.TAGS_IN_CAPITALS.text,
    "channels": open_models.CHANNELS.text,
    "Gemma's channels": open_models.CHANNELS_OF_GEMMA.text,
    "thinking tags": open_models.THINKING_TAGS.text,
    # Variants that nobody has reported.
    "no space at all": f"<think>{THOUGHT}</think>{ANSWER}",
    "behind empty lines": f"\n\n<think>{THOUGHT}</think>{ANSWER}",
    "closed, never opened, on one line": f"{THOUGHT}</think>{ANSWER}",
    "Mistral's brackets": f"[THINK]{THOUGHT}[/THINK]{ANSWER}",
    "Kimi's signs": f"◁think▷{THOUGHT}◁/think▷{ANSWER}",
    "Command's wrapping": f"<|START_THINKING|>{THOUGHT}<|END_THINKING|>"
    f"<|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "channels without messages": f"<|channel|>analysis\n{THOUGHT}\n<|channel|>final\n{ANSWER}",
    "a thought and an empty one": f"<think>{THOUGHT}</think>\n<think>\n</think>\n{ANSWER}",
    "an empty one and a thought": f"<think></think><thought>{THOUGHT}</thought>{ANSWER}",
}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("api", ["chat_completions", "responses"])
@pytest.mark.parametrize("name", TEXTS)
async def test_thinking_is_a_workflow_and_not_the_answer(
    play: Callable[..., Conversation], fake: FakeOpenAI, name: str, api: str, size: int
) -> None:
    conversation = play(open_models.script(TEXTS[name], "Fine.", api=api, size=size))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == [ANSWER]
    assert [each.strip() for each in thoughts(events)] == [THOUGHT]

    await conversation.say("How are you?")
    assert said(fake.streamed[1])[1] == ("assistant", ANSWER)
    assert THOUGHT not in json.dumps(fake.streamed[1].body)


@pytest.mark.parametrize(
    "script",
    [
        ollama.THINKING_UNDER_ANOTHER_NAME,
        mistral.THINKING_IN_A_LIST,
        mistral.TEXT_IN_A_LIST,
        Script("a variant", (chat({"reasoning": "hmm", "reasoning_content": "hmm"}, "Hello."),)),
        Script("a variant", (chat({"reasoning_content": [{"text": "hmm"}]}, "Hello."),)),
        Script("a variant", (chat({"content": {"type": "text", "text": "Hello."}}),)),
        Script("a variant", (chat({"reasoning": "hmm"}, "</think>\n", "Hello."),)),
        llamacpp.REASONING_FIRST,
    ],
)
async def test_reasoning_is_found_where_servers_put_it(
    play: Callable[..., Conversation], fake: FakeOpenAI, script: Script
) -> None:
    conversation = play(script)
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) in ([ANSWER], ["A cat."])
    assert len(thoughts(events)) <= 1
    fake.replies.append(chat("Fine.") if script.api != "responses" else script.replies[0])
    await conversation.say("How are you?")
    assert "hmm" not in json.dumps(fake.streamed[1].body)


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
@pytest.mark.parametrize(
    "text",
    [
        open_models.TAGS_TALKED_ABOUT.text,
        "I <think>so</think> too",
        "Write `</think>` at its end.",
        'The tag "</think>" ends it.',
        "```xml\n</think>\n```",
        "1 < 2, and <b>bold</b> is <thi",
        "\n\nHello",
        "<thinker>is no tag of ours",
        "Channels begin with <|channel|>final<|message|> there.",
    ],
)
async def test_text_is_untouched_that_only_talks_of_tags(
    play: Callable[..., Conversation], fake: FakeOpenAI, text: str, api: str
) -> None:
    conversation = play(open_models.script(text, "Fine.", api=api))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    assert answers(events) == [text]
    assert thoughts(events) == []
    assert not [event for event in events if event["type"] == "thread.item.removed"]


async def test_only_the_thinking_is_taken_out_of_an_answer_about_tags(
    play: Callable[..., Conversation],
) -> None:
    events = await play(open_models.script(open_models.TAGS_IN_THE_ANSWER.text)).say("hi")
    assert answers(events) == ["Use </think> to close `<think>`."]
    assert thoughts(events) == ["They ask."]


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
@pytest.mark.parametrize(
    "text",
    [open_models.NEVER_CLOSED.text, open_models.ONLY_COMMENTARY.text, "They greet\n</think>"],
)
async def test_nothing_but_thinking_is_told(
    play: Callable[..., Conversation], fake: FakeOpenAI, text: str, api: str
) -> None:
    conversation = play(open_models.script(text, "Hello.", api=api))
    events = await conversation.say("hi")
    await check_turn(conversation, events)
    error = the_error(events)
    assert (error["message"], error["allow_retry"]) == (
        ERROR_TEXTS[ProviderErrorKind.SERVER_ERROR],
        True,
    )
    assert len(thoughts(events)) == 1
    assert answers(await conversation.say("again")) == [ANSWER]
    assert said(fake.streamed[1]) == [("user", "hi"), ("user", "again")] or said(
        fake.streamed[1]
    ) == [("user", "hi\n\nagain")]


async def test_thinking_in_front_of_a_tool_call_is_not_sent_back(
    play: Callable[..., Conversation], fake: FakeOpenAI
) -> None:
    asks = chat("<think>Look at it.</think>\n\n", call("get_weather", '{"city": "Rome"}', id="a"))
    conversation = play(Script("a variant", (asks, chat("Fine."))))
    events = await conversation.say("Rome?")
    await check_turn(conversation, events)
    assert answers(events) == ["Fine."]
    assert "Look at it" not in json.dumps(fake.streamed[1].body)
    assert not any(each.get("content") == "" for each in fake.streamed[1].body["messages"])


@pytest.mark.parametrize(
    "title", [open_models.THINK_TAGS.text, open_models.CHANNELS.text, "hm\n</think>\nHello."]
)
async def test_thinking_is_not_in_titles(
    play: Callable[..., Conversation], fake: FakeOpenAI, title: str
) -> None:
    fake.title = title
    events = await play(open_models.script("Hello.")).say("How are things in Rome?")
    titles = [each["thread"]["title"] for each in events if each["type"] == "thread.updated"]
    assert titles in ([["Hello."], ["Hello"]])
