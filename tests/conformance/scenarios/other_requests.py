"""Retries, feedback, speech and attachments."""

from typing import Any

from tests.conformance.answering import Events, answer_with_message
from tests.conformance.building import done, item, message
from tests.conformance.harness import CONTEXT, Talk, done_id
from tests.conformance.registry import scenario

# --- retry, feedback, speech ----------------------------------------------------------------------


@scenario
async def answer_is_tried_again(talk: Talk) -> None:
    async def respond(thread: Any, user_message: Any, context: Any) -> Events:
        kit = talk.kit
        yield done(kit, item(kit, "HiddenContextItem", thread, "hidden", content="x"))
        answer_id = talk.store.generate_item_id("message", thread, context)
        yield done(kit, message(kit, thread, answer_id, user_message.content[0].text))

    talk.answer(respond)
    first = await talk.say("One")
    await talk.say("Two")
    last = await talk.say("Three")
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(last, "user_message"))
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(first, "user_message"))
    await talk.send_to_thread("items.list")


@scenario
async def retry_of_an_unknown_item(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("threads.retry_after_item", item_id="msg_unknown")
    await talk.send_to_thread("items.list")


@scenario
async def long_thread_is_retried_and_paged(talk: Talk) -> None:
    answer_with_message(talk)
    first = await talk.say()
    for _ in range(12):
        await talk.say()
    await talk.send_to_thread("threads.get_by_id")
    page = await talk.send_to_thread("items.list")
    await talk.send_to_thread("items.list", after=page["after"])
    await talk.send_to_thread("threads.retry_after_item", item_id=done_id(first, "user_message"))


@scenario
async def feedback_reaches_the_server(talk: Talk) -> None:
    async def add_feedback(thread_id: str, item_ids: list[str], kind: str, context: Any) -> None:
        talk.transcript.note(f"feedback {thread_id} {item_ids} {kind}")

    answer_with_message(talk)
    talk.override(add_feedback=add_feedback)
    await talk.say()
    await talk.send_to_thread("items.feedback", item_ids=["answer_1"], kind="positive")
    await talk.send_to_thread("items.feedback", item_ids=["a", "b"], kind="negative")
    await talk.send("items.feedback", thread_id="thr_unknown", item_ids=[], kind="negative")
    await talk.send_to_thread("items.feedback", item_ids=[], kind="neutral")


@scenario
async def feedback_without_a_handler(talk: Talk) -> None:
    answer_with_message(talk)
    await talk.say()
    await talk.send_to_thread("items.feedback", item_ids=["answer_1"], kind="positive")


@scenario
async def speech_is_transcribed(talk: Talk) -> None:
    async def transcribe(audio: Any, context: Any) -> Any:
        text = f"{audio.data!r} {audio.mime_type} {audio.media_type}"
        return talk.kit.types.TranscriptionResult(text=text)

    talk.override(transcribe=transcribe)
    audio = {"audio_base64": "aGVsbG8=", "mime_type": "audio/webm;codecs=opus"}
    await talk.send("input.transcribe", **audio)
    await talk.send("input.transcribe", audio_base64="", mime_type="audio/mp4")
    await talk.send("input.transcribe", audio_base64="a", mime_type="audio/mp4")


@scenario
async def speech_that_is_no_base64(talk: Talk) -> None:
    async def transcribe(audio: Any, context: Any) -> Any:
        return talk.kit.types.TranscriptionResult(text="noise")

    talk.override(transcribe=transcribe)
    await talk.send("input.transcribe", audio_base64="aGVs*bG8=", mime_type="audio/mp4")


@scenario
async def speech_without_a_handler(talk: Talk) -> None:
    await talk.send("input.transcribe", audio_base64="aGVsbG8=", mime_type="audio/mp4")


# --- attachments ----------------------------------------------------------------------------------


@scenario
async def attachments_are_created_sent_and_deleted(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    one = await talk.send("attachments.create", **file)
    two = await talk.send("attachments.create", **{**file, "name": "b.pdf"})
    await talk.say(attachments=[one["id"]])
    await talk.say(attachments=[two["id"]])
    await talk.send_to_thread("items.list")
    await talk.send("attachments.delete", attachment_id=one["id"])
    await talk.send("attachments.delete", attachment_id=one["id"])
    await talk.send("attachments.delete", attachment_id="atc_unknown")


@scenario
async def images_are_attached(talk: Talk) -> None:
    answer_with_message(talk)
    picture = talk.kit.types.ImageAttachment(
        id="atc_image",
        name="a.png",
        mime_type="image/png",
        preview_url="https://files.example/a?b=ü",
        metadata={"secret": 1},
    )
    await talk.store.save_attachment(picture, CONTEXT)
    await talk.say(attachments=["atc_image"])
    await talk.send_to_thread("threads.get_by_id")


@scenario
async def attachment_of_another_thread(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    attachment = await talk.send("attachments.create", **file)
    await talk.say(attachments=[attachment["id"]])
    talk.thread_id = ""
    await talk.say(attachments=[attachment["id"]])


@scenario
async def attachment_that_is_named_twice(talk: Talk) -> None:
    answer_with_message(talk)
    file = {"name": "a.pdf", "size": 3, "mime_type": "application/pdf"}
    attachment = await talk.send("attachments.create", **file)
    await talk.say(attachments=[attachment["id"], attachment["id"]])


@scenario
async def attachments_without_an_attachment_store(talk: Talk) -> None:
    talk.has_uploads = False
    await talk.send("attachments.create", name="a", size=1, mime_type="text/plain")
    await talk.send("attachments.delete", attachment_id="atc_1")
