"""What tools return besides text: given to the model once, and a note in every later turn."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from agents import (
    Tool,
    ToolOutputFileContent,
    ToolOutputImage,
    ToolOutputText,
    function_tool,
)

from tests.providers.fake_openai import FakeOpenAI, ReceivedRequest, Reply, ToolCall
from tests.providers.scripts import recorded
from tests.support.conversation import Conversation, answer_text

BYTES = base64.b64encode(bytes(range(256)) * 1200).decode()  # 400 kB
PICTURE = f"data:image/png;base64,{BYTES}"
PDF = f"data:application/pdf;base64,{BYTES}"

Start = Callable[..., Conversation]


@function_tool
async def draw() -> Any:
    """Return an image."""
    return ToolOutputImage(image_url=PICTURE)


@function_tool
async def draw_with_words() -> Any:
    """Return words and images."""
    return [ToolOutputText(text="Two cats:"), *[ToolOutputImage(image_url=PICTURE)] * 2]


@function_tool
async def draw_as_text() -> str:
    """Return the data URL of an image, as many tools do."""
    return PICTURE


@function_tool
async def draw_in_json() -> str:
    """Return an image among other things."""
    return json.dumps({"size": [640, 480], "image": PICTURE})


@function_tool
async def write_report() -> Any:
    """Return a file."""
    return ToolOutputFileContent(file_data=PDF, filename="report.pdf")


@function_tool
async def list_cities() -> Any:
    """Return texts."""
    return [ToolOutputText(text="Rome"), ToolOutputText(text="Oslo")]


@contextmanager
def offering(conversation: Conversation, *tools: Tool) -> Iterator[None]:
    """Let the agent have these tools, too."""
    offered = conversation.server.agent.tools
    before = list(offered)
    offered.extend(tools)
    try:
        yield
    finally:
        offered[:] = before


async def use(conversation: Conversation, fake: FakeOpenAI, *tools: Tool) -> None:
    """Have the tools called at the same time, and say something in the next turn."""
    with offering(conversation, *tools):
        made = tuple(ToolCall(each.name) for each in tools)
        fake.replies.extend(
            [Reply(tool_calls=made), Reply(text="I see."), Reply(text="You are welcome.")]
        )
        assert answer_text(await conversation.say("Go on")) == "I see."
        assert answer_text(await conversation.say("Thanks")) == "You are welcome."


def text_of(request: ReceivedRequest) -> str:
    return json.dumps(request.body, ensure_ascii=False)


def image_parts(request: ReceivedRequest) -> list[str]:
    """Return the URLs of the images in a request."""
    urls: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") in ("input_image", "image_url"):
                url = value["image_url"]
                urls.append(url if isinstance(url, str) else url["url"])
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(request.body)
    return urls


@pytest.mark.parametrize(
    ("tools", "images"),
    [((draw,), 1), ((draw_with_words,), 2), ((draw_as_text,), 1), ((draw, draw), 2)],
)
async def test_image_is_shown_in_its_turn_and_a_note_later(
    conversation: Conversation, fake: FakeOpenAI, tools: tuple[Tool, ...], images: int
) -> None:
    await use(conversation, fake, *tools)
    _, shown, later = fake.streamed
    assert image_parts(shown) == [PICTURE] * images
    assert image_parts(later) == []
    assert len(text_of(later)) < 20_000
    assert BYTES[:100] not in text_of(later)
    assert "image" in text_of(later)


async def test_words_beside_an_image_stay(conversation: Conversation, fake: FakeOpenAI) -> None:
    await use(conversation, fake, draw_with_words)
    assert all("Two cats:" in text_of(each) for each in fake.streamed[1:])


async def test_image_within_a_text_is_left_out_later(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    await use(conversation, fake, draw_in_json)
    later = text_of(fake.streamed[2])
    assert "[640, 480]" in later
    assert BYTES[:100] not in later


async def test_file_is_given_in_its_turn_and_named_later(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    await use(conversation, fake, write_report)
    _, given, later = fake.streamed
    assert BYTES in text_of(given)
    assert "report.pdf" in text_of(given)
    assert BYTES[:100] not in text_of(later)
    assert "report.pdf" in text_of(later)


async def test_texts_are_given_as_such_now_and_later(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    await use(conversation, fake, list_cities)
    for request in fake.streamed[1:]:
        assert "Rome" in text_of(request)
        assert "Oslo" in text_of(request)


async def test_output_of_a_tool_is_text_for_chat_completions(
    converse: Start, fake: FakeOpenAI
) -> None:
    await use(converse("chat_completions"), fake, draw_with_words, list_cities, draw)
    messages = fake.streamed[1].body["messages"]
    outputs = [each["content"] for each in messages if each["role"] == "tool"]
    assert outputs[0].startswith("Two cats:")
    assert outputs[1] == "Rome\nOslo"
    roles = [each["role"] for each in messages]
    assert roles == ["system", "user", "assistant", *["tool"] * 3, "assistant", "user"]
    assert len(image_parts(fake.streamed[1])) == 3


async def test_image_that_the_model_cannot_see_is_a_note_at_once(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    refused = recorded("llamacpp-chat-image-refused")
    fake.rules.append(lambda body: refused if BYTES[:100] in json.dumps(body) else None)
    await use(conversation, fake, draw_with_words)
    taken = fake.streamed[-2]
    assert "you cannot see its content" in text_of(taken)
    assert "Two cats:" in text_of(taken)
