"""What came with a call goes back with it: in its turn, behind the page, and in later turns."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.providers.fake_openai import FakeOpenAI
from tests.providers.scripts import (
    added,
    call,
    chat,
    chunk,
    finished,
    function_call,
    message,
    refusal,
    responses,
    sse,
)
from tests.support.conversation import Conversation, answer_text

Start = Callable[..., Conversation]

SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
CITY = '{"city": "Rome"}'


def made_calls(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [made for each in body["messages"] for made in each.get("tool_calls", [])]


def wants_signature(body: dict[str, Any]) -> Any:
    """Refuse as Gemini does."""
    if all(each.get("extra_content") == SIGNED["extra_content"] for each in made_calls(body)):
        return None
    return refusal(400, [{"error": {"message": "Function call is missing a thought_signature"}}])


def wants_reasoning(body: dict[str, Any]) -> Any:
    """Refuse as DeepSeek does."""
    made = [each for each in body["messages"] if each.get("tool_calls")]
    if all(each.get("reasoning_content") == "Let me see." for each in made):
        return None
    return refusal(400, {"error": {"message": "The `reasoning_content` must be passed back."}})


@pytest.mark.parametrize("name", ["gemini-3-pro", "smart"])
@pytest.mark.parametrize("tool", ["get_weather", "switch_theme"])
async def test_signature_of_a_call_goes_back(
    converse: Start, fake: FakeOpenAI, name: str, tool: str
) -> None:
    conversation = converse("chat_completions", assistant_model=name)
    fake.rules.append(wants_signature)
    arguments = CITY if tool == "get_weather" else '{"theme": "dark"}'
    fake.replies.extend(
        [
            chat(call(tool, arguments, id="call_1", **SIGNED), finish="tool_calls"),
            chat("Done."),
            chat("You are welcome."),
        ]
    )
    events = await conversation.say("Go on")
    if tool == "switch_theme":
        events = await conversation.return_tool_output({"theme": "dark"})
    assert answer_text(events) == "Done."
    assert answer_text(await conversation.say("Thanks")) == "You are welcome."
    assert len(made_calls(fake.streamed[-1].body)) == 1


@pytest.mark.parametrize("name", ["deepseek-reasoner", "kimi-k2-thinking"])
@pytest.mark.parametrize("tool", ["get_weather", "switch_theme"])
async def test_reasoning_of_a_call_goes_back(
    converse: Start, fake: FakeOpenAI, name: str, tool: str
) -> None:
    conversation = converse("chat_completions", assistant_model=name)
    fake.rules.append(wants_reasoning)
    arguments = CITY if tool == "get_weather" else '{"theme": "dark"}'
    thought = [chunk({"reasoning_content": "Let me "}), chunk({"reasoning_content": "see."})]
    fake.replies.extend(
        [
            sse(*thought, chunk(call(tool, arguments, id="call_1")), chunk({}, "tool_calls")),
            chat("Done."),
            chat("You are welcome."),
        ]
    )
    events = await conversation.say("Go on")
    if tool == "switch_theme":
        events = await conversation.return_tool_output({"theme": "dark"})
    assert answer_text(events) == "Done."
    assert answer_text(await conversation.say("Thanks")) == "You are welcome."


async def test_reasoning_is_kept_from_servers_that_refuse_it(
    converse: Start, fake: FakeOpenAI
) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        words = {"error": {"message": "property 'reasoning_content' is unsupported"}}
        return refusal(400, words) if "reasoning_content" in json.dumps(body) else None

    conversation = converse("chat_completions", assistant_model="qwen")
    fake.rules.append(refuse)
    made = chunk(call("get_weather", CITY, id="call_1"))
    fake.replies.extend(
        [
            sse(chunk({"reasoning_content": "Hm."}), made, chunk({}, "tool_calls")),
            chat("Done."),
            chat("You are welcome."),
        ]
    )
    assert answer_text(await conversation.say("Go on")) == "Done."
    fake.requests.clear()
    assert answer_text(await conversation.say("Thanks")) == "You are welcome."
    assert len(fake.streamed) == 1


async def test_encrypted_reasoning_goes_back_with_its_call(
    converse: Start, fake: FakeOpenAI
) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    made = function_call("switch_theme", '{"theme": "dark"}')
    events = [added(thought), finished(thought), added(made, 1), finished(made, 1)]
    said = message("Done.")
    fake.replies.extend(
        [
            responses(*events, output=[thought, made]),
            responses(added(said), finished(said), output=[said]),
            responses(added(said), finished(said), output=[said]),
        ]
    )
    conversation = converse("responses", assistant_model="gpt-5.6")
    await conversation.say("Dark")
    assert fake.streamed[0].body["include"] == ["reasoning.encrypted_content"]
    await conversation.return_tool_output({"theme": "dark"})
    await conversation.say("Thanks")
    for request in fake.streamed[1:]:
        _, told, call_item, output = request.body["input"][:4]
        assert told == {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
        assert call_item["call_id"] == output["call_id"] == "call_1"
        assert "id" not in call_item


async def test_encrypted_reasoning_is_not_asked_for_where_there_is_none(
    converse: Start, fake: FakeOpenAI
) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        words = {"error": {"message": "Encrypted content is not supported with this model."}}
        return refusal(400, words) if body.get("include") else None

    fake.rules.append(refuse)
    said = message("Hello.")
    fake.replies.extend([responses(added(said), finished(said), output=[said])] * 2)
    conversation = converse("responses", assistant_model="gpt-5.6")
    assert answer_text(await conversation.say("Hi")) == "Hello."
    fake.requests.clear()
    await conversation.say("Hi again")
    assert len(fake.streamed) == 1
