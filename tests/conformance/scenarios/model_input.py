"""Items as input for the model, by the shape of what comes of them."""

from collections.abc import AsyncIterator
from typing import Any

from tests.conformance.building import done, every_kind_of_item, item
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario


def shape_of(input_items: list[Any]) -> list[str]:
    """Return what kinds of input items and parts there are, whatever their words."""
    return [
        " ".join([each.get("role", "no role"), each["type"], *part_types(each.get("content", []))])
        for each in input_items
    ]


def part_types(content: Any) -> list[str]:
    return ["plain"] if isinstance(content, str) else [part["type"] for part in content]


def converter_with_hooks(talk: Talk) -> Any:
    class Converter(talk.kit.agents.ThreadItemConverter):
        async def attachment_to_message_content(self, attachment: Any) -> Any:
            return {"type": "input_file", "file_id": attachment.id}

        async def tag_to_message_content(self, tag: Any) -> Any:
            return {"type": "input_text", "text": tag.id}

    return Converter()


@scenario
async def items_become_model_input(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        kit, types = talk.kit, talk.kit.types
        call_ = {"call_id": "call_1", "name": "open", "arguments": {"a": [None, "ü"]}}
        output = {"status": "completed", "output": {"b": None}}
        image_ = types.GeneratedImage(id="i", url="https://images.example/1")
        for each in every_kind_of_item(talk.kit, thread):
            yield done(kit, each)
        yield done(kit, item(kit, "ClientToolCallItem", thread, "call_2", **call_, **output))
        yield done(kit, item(kit, "GeneratedImageItem", thread, "image_2", image=image_))
        yield done(kit, item(kit, "HiddenContextItem", thread, "item_hidden", content="Note"))

    async def convert(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        page = await talk.store.load_thread_items(thread.id, None, 100, "asc", context)
        converter = converter_with_hooks(talk)
        for each in page.data:
            for shape in shape_of(await converter.to_agent_input(each)):
                talk.transcript.note(f"{each.type} {each.id} becomes {shape}")
        whole = await converter.to_agent_input(page.data)
        talk.transcript.note(f"the whole thread becomes {len(whole)} input items")
        yield talk.kit.types.ProgressUpdateEvent(text="Done")

    talk.answer(respond, convert)
    tag = {"type": "input_tag", "id": "t", "text": "Tag", "data": {}}
    file = await talk.send("attachments.create", name="a", size=1, mime_type="text/plain")
    await talk.say(content=[tag, tag], quoted_text="Quote", attachments=[file["id"]])
    await talk.say(content=[{"type": "input_text", "text": "Next"}])


@scenario
async def tags_share_their_text(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        converted = await converter_with_hooks(talk).to_agent_input(user_message)
        talk.transcript.note(f"becomes {shape_of(converted)}")
        yield talk.kit.types.ProgressUpdateEvent(text="Done")

    talk.answer(respond)
    tag = {"type": "input_tag", "id": "t", "text": "Tag", "data": {}}
    await talk.say(content=[tag, {**tag, "id": "other"}])


@scenario
async def tags_and_attachments_have_no_converter(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> AsyncIterator[Any]:
        converted = await talk.kit.agents.simple_to_agent_input(user_message)
        talk.transcript.note(f"becomes {shape_of(converted)}")
        yield talk.kit.types.ProgressUpdateEvent(text="Done")

    talk.answer(respond)
    tag = {"type": "input_tag", "id": "t", "text": "Tag", "data": {}}
    await talk.say(content=[tag])
    file = await talk.send("attachments.create", name="a", size=1, mime_type="text/plain")
    await talk.say(attachments=[file["id"]])
