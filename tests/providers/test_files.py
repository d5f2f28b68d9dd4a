"""Files on their way to a provider, through both APIs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.chatkit.store import AttachmentContent
from tests.assistant.attachments import MemoryAttachments, attached, text
from tests.providers.fake_openai import FakeOpenAI, ReceivedRequest, Reply
from tests.support.conversation import Conversation, answer_text

PNG = AttachmentContent("image", "image/png", b"\x89PNG")
PDF = AttachmentContent("pdf", "application/pdf", b"%PDF-1.7")


def parts(request: ReceivedRequest) -> list[dict[str, Any]]:
    """Return the parts of the user's messages in a request."""
    messages = request.body.get("input", request.body.get("messages"))
    return [
        part
        for message in messages
        if message.get("role") == "user" and isinstance(message["content"], list)
        for part in message["content"]
    ]


async def start(
    converse: Callable[..., Conversation], model_api: str, store: MemoryAttachments
) -> Conversation:
    """Return a conversation whose user has uploaded what is in ``store``."""
    conversation = converse(model_api, store)
    for name, mime_type in (
        ("atc_image", "image/png"),
        ("atc_pdf", "application/pdf"),
        ("atc_text", "text/plain"),
    ):
        attachment = attached(name, f"{name}.file", mime_type)
        await conversation.server.store.save_attachment(attachment, conversation.context)
    return conversation


async def test_files_arrive_in_the_form_of_the_api(
    converse: Callable[..., Conversation], model_api: str, fake: FakeOpenAI
) -> None:
    store = MemoryAttachments({"atc_image": PNG, "atc_pdf": PDF, "atc_text": text("in the file")})
    conversation = await start(converse, model_api, store)
    fake.replies.append(Reply(text="Seen."))
    ids = ["atc_image", "atc_pdf", "atc_text"]
    assert answer_text(await conversation.say("look", attachments=ids)) == "Seen."
    sent = parts(fake.streamed[0])
    types = [part["type"] for part in sent]
    if model_api == "responses":
        assert types == ["input_text", "input_image", "input_file", "input_text"]
    else:
        # Compatible servers rarely take PDFs: the model hears the name.
        assert types == ["text", "image_url", "text", "text"]
        assert "atc_pdf.file" in sent[2]["text"]
    assert "data:image/png;base64," in json.dumps(sent[1])
    assert "in the file" in sent[3]["text"]


async def test_thread_is_answered_without_its_files_when_the_provider_refuses_them(
    converse: Callable[..., Conversation], model_api: str, fake: FakeOpenAI
) -> None:
    conversation = await start(converse, model_api, MemoryAttachments({"atc_image": PNG}))
    fake.replies.extend([Reply(status=400), Reply(text="I cannot see it.")])
    events = await conversation.say("look", attachments=["atc_image"])
    assert answer_text(events) == "I cannot see it."
    assert not [event for event in events if event["type"] == "error"]
    assert "base64" in json.dumps(fake.streamed[0].body)
    assert "base64" not in json.dumps(fake.streamed[1].body)
    assert "cannot see its content" in json.dumps(fake.streamed[1].body)


@pytest.mark.parametrize("status", [400, 401])
async def test_refusal_is_told_when_the_files_are_not_the_reason(
    converse: Callable[..., Conversation], model_api: str, fake: FakeOpenAI, status: int
) -> None:
    store = MemoryAttachments({} if status == 400 else {"atc_image": PNG})
    conversation = await start(converse, model_api, store)
    fake.replies.append(Reply(status=status))
    events = await conversation.say("look", attachments=["atc_image"])
    assert "error" in [event["type"] for event in events]
    assert len(fake.streamed) == 1
