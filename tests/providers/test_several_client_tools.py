"""Several client tools in one answer: one after the other, and each output to its own call."""

from typing import Any

from tests.providers.checks import answers, calls, check_calls_are_answered, check_turn, outputs
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall
from tests.support.conversation import Conversation, done_items

THEME, TIME = ToolCall("switch_theme", '{"theme": "dark"}'), ToolCall("get_browser_time")
LIGHT = ToolCall("switch_theme", '{"theme": "light"}')


def asked(events: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in done_items(events, "client_tool_call")]


async def test_each_is_announced_when_the_one_before_has_its_output(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(tool_calls=(THEME, TIME, LIGHT)), Reply(text="All done.")])
    events = await conversation.say("dark, the time, light")
    await check_turn(conversation, events)
    assert asked(events) == ["switch_theme"]
    for output, expected in (("was dark", "get_browser_time"), ("noon", "switch_theme")):
        events = await conversation.return_tool_output(output)
        await check_turn(conversation, events)
        assert asked(events) == [expected]
        assert len(fake.streamed) == 1
    events = await conversation.return_tool_output("was light")
    assert answers(events) == ["All done."]

    told = outputs(fake.streamed[1])
    check_calls_are_answered(fake.streamed[1])
    assert [(arguments, told[call_id]) for call_id, _, arguments in calls(fake.streamed[1])] == [
        ({"theme": "dark"}, '"was dark"'),
        ({}, '"noon"'),
        ({"theme": "light"}, '"was light"'),
    ]
    stored = [i for i in await conversation.load_items() if i["type"] == "client_tool_call"]
    assert [(each["name"], each["output"]) for each in stored] == [
        ("switch_theme", "was dark"),
        ("get_browser_time", "noon"),
        ("switch_theme", "was light"),
    ]
    assert "held" not in str(fake.streamed[1].body)


async def test_message_instead_of_an_output_lets_the_others_go(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.replies.extend([Reply(tool_calls=(THEME, TIME)), Reply(text="Never mind.")])
    await conversation.say("dark, and the time")
    assert answers(await conversation.say("Forget it")) == ["Never mind."]
    check_calls_are_answered(fake.streamed[1])
    fake.replies.extend([Reply(tool_calls=(LIGHT,)), Reply(text="Light.")])
    assert asked(await conversation.say("light")) == ["switch_theme"]
    assert answers(await conversation.return_tool_output("was light")) == ["Light."]
    check_calls_are_answered(fake.streamed[3])
