"""The scripts of real servers can be played, and the recorded answers are read as they were."""

from collections.abc import Callable

import pytest

from tests.providers.fake_openai import FakeOpenAI
from tests.providers.scripts import RECORDED, Script, chat, recorded, refusal
from tests.support.conversation import Conversation, answer_text, done_items


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.txt")), ids=lambda path: path.stem)
def test_recorded_answer_is_read_as_it_was(path):
    answer = recorded(path.stem)
    body = path.read_text()
    assert answer.frames
    assert all(frame.strip() in body for frame in answer.frames)
    assert (answer.status == 200) == (answer.content_type == "text/event-stream")


async def test_recorded_answer_is_played(play: Callable[..., Conversation], fake: FakeOpenAI):
    answer = recorded("llamacpp-chat-reasoning")
    events = await play(Script("a recording", (answer,))).say("An animal?")
    (thoughts,) = done_items(events, "workflow")
    assert thoughts["workflow"]["tasks"][0]["content"].startswith("The user asks for an animal")
    assert answer_text(events) == "A cat."
    assert len(fake.streamed) == 1


async def test_rule_refuses_what_breaks_it(play: Callable[..., Conversation], fake: FakeOpenAI):
    def refuse_streams(body):
        return refusal(401, {"error": {"message": "Invalid API Key"}}) if body["stream"] else None

    script = Script("a rule", (chat("never"),), rules=(refuse_streams,))
    events = await play(script).say("hi")
    assert [event["type"] for event in events][-1] == "error"
    assert len(fake.replies) == 1
