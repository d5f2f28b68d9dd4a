"""Titles: from the first words or from the model, and never in the way of the answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agents import Model, ModelResponse, Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from app.assistant import titles
from app.assistant.titles import MAX_TITLE_LENGTH, TitleWriter, clean_title, message_text
from app.chatkit.protocol.items import (
    FileAttachment,
    InferenceOptions,
    Page,
    Thread,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    now,
)
from app.providers.models import AssistantModels
from app.settings import Settings

FIRST_WORDS = "How do I bake bread"


class ScriptedModels(AssistantModels):
    """Models of a provider that is a function here."""

    def __init__(self, reply: Callable[[str], Awaitable[str]]) -> None:
        super().__init__(Settings(_env_file=None))  # type: ignore[call-arg]
        self.reply = reply

    @property
    def is_offline(self) -> bool:
        return False

    def get_model(self, model_name: str | None = None) -> Model:
        return ScriptedModel(self.reply)


class ScriptedModel(Model):
    def __init__(self, reply: Callable[[str], Awaitable[str]]) -> None:
        self.reply = reply

    async def get_response(self, instructions: str | None, input: Any, *args: Any, **kwargs: Any):
        text = await self.reply(input)
        part = ResponseOutputText(type="output_text", text=text, annotations=[])
        message = ResponseOutputMessage(
            id="msg_1", type="message", role="assistant", status="completed", content=[part]
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def new_thread(title: str | None = None) -> ThreadMetadata:
    return ThreadMetadata(id="thr_1", created_at=now(), title=title)


def message(*parts: Any, attachments: tuple[FileAttachment, ...] = ()) -> UserMessageItem:
    return UserMessageItem(
        id="msg_1",
        thread_id="thr_1",
        created_at=now(),
        content=[UserMessageTextContent(text=p) if isinstance(p, str) else p for p in parts],
        attachments=list(attachments),
        inference_options=InferenceOptions(),
    )


def writer(reply: Callable[[str], Awaitable[str]]) -> TitleWriter:
    return TitleWriter(ScriptedModels(reply))


def offline_writer() -> TitleWriter:
    return TitleWriter(AssistantModels(Settings(_env_file=None)))  # type: ignore[call-arg]


async def stuck(_: str) -> str:
    await asyncio.sleep(60)
    return "too late"


async def unchanged() -> str | None:
    """What is stored, where nobody has changed it."""
    return None


# --- when it is set ------------------------------------------------------------------------------


async def test_first_words_are_the_title_when_offline() -> None:
    thread = new_thread()
    async with offline_writer().title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == FIRST_WORDS


async def test_title_of_the_model_is_set_while_the_answer_is_streamed() -> None:
    asked: list[str] = []

    async def reply(text: str) -> str:
        asked.append(text)
        return '"Baking bread"\n'

    thread = new_thread()
    async with writer(reply).title_thread(thread, message(FIRST_WORDS), unchanged):
        await asyncio.sleep(0.01)
        assert thread.title == "Baking bread"
    assert asked == [FIRST_WORDS]


@pytest.mark.parametrize("title", ["", "  ", "**"])
async def test_first_words_are_the_title_when_the_model_has_none(title: str) -> None:
    async def reply(_: str) -> str:
        return title

    thread = new_thread()
    async with writer(reply).title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == FIRST_WORDS


async def test_first_words_are_the_title_when_the_model_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def reply(_: str) -> str:
        raise RuntimeError("no credit left")

    thread = new_thread()
    with caplog.at_level("WARNING"):
        async with writer(reply).title_thread(thread, message(FIRST_WORDS), unchanged):
            pass
    assert thread.title == FIRST_WORDS
    assert "no credit left" in caplog.text


async def test_first_words_are_the_title_when_the_model_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(titles, "TITLE_TIMEOUT", 0.01)
    thread = new_thread()
    async with writer(stuck).title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == FIRST_WORDS


async def test_answer_waits_only_briefly_for_a_slow_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titles, "TITLE_GRACE", 0.02)
    thread, before, tasks = new_thread(), time.monotonic(), asyncio.all_tasks()
    async with writer(stuck).title_thread(thread, message(FIRST_WORDS), unchanged):
        assert thread.title == FIRST_WORDS
    assert time.monotonic() - before < 5
    assert thread.title == FIRST_WORDS
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_first_words_are_the_title_when_the_answer_ends_early(error: type) -> None:
    thread, tasks = new_thread(), asyncio.all_tasks()
    with pytest.raises(error):
        async with writer(stuck).title_thread(thread, message(FIRST_WORDS), unchanged):
            raise error
    assert thread.title == FIRST_WORDS
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize(
    ("title", "becomes"), [(FIRST_WORDS, "From the model"), ("From a tool", "From a tool")]
)
async def test_model_replaces_the_title_that_a_new_thread_begins_with_and_no_other(
    title: str, becomes: str
) -> None:
    async def reply(_: str) -> str:
        return "From the model"

    thread = Thread(**dict(new_thread(title)), items=Page())
    async with writer(reply).title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == becomes


async def test_model_is_asked_once_even_where_its_title_came_to_the_first_words() -> None:
    thread = new_thread(FIRST_WORDS)  # no new one any more
    async with writer(stuck).title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == FIRST_WORDS


async def test_title_stays_when_there_is_one() -> None:
    thread = new_thread("Mine")
    async with writer(stuck).title_thread(thread, message(FIRST_WORDS), unchanged):
        pass
    assert thread.title == "Mine"


@pytest.mark.parametrize("stored", ["The user's own", ConnectionError("away")])
async def test_title_stays_when_the_user_sets_one_meanwhile(stored: Any) -> None:
    async def reply(_: str) -> str:
        return "From the model"

    async def load_title() -> str:
        if isinstance(stored, Exception):
            raise stored
        return stored

    thread = new_thread()
    async with writer(reply).title_thread(thread, message(FIRST_WORDS), load_title):
        pass
    assert thread.title == FIRST_WORDS  # not changed, so not saved


async def test_title_stays_when_a_tool_sets_one_meanwhile() -> None:
    async def reply(_: str) -> str:
        await asyncio.sleep(0.01)
        return "From the model"

    thread = new_thread()
    async with writer(reply).title_thread(thread, message(FIRST_WORDS), unchanged):
        thread.title = "From a tool"
    assert thread.title == "From a tool"


@pytest.mark.parametrize("first", [None, message(" \n")])
async def test_no_title_is_set_when_nothing_was_said(first: UserMessageItem | None) -> None:
    thread = new_thread()
    async with offline_writer().title_thread(thread, first, unchanged):
        pass
    assert thread.title is None


# --- the words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  hello\n\n world ", "hello world"),
        ("# A *title*", "A *title"),
        ("“Quoted”", "Quoted"),
        ("what's up?", "what's up?"),
        ("🎉" * 80, "🎉" * 59 + "…"),
        ("word, " * 20, "word, word, word, word, word, word, word, word, word…"),
    ],
)
def test_title_is_one_clean_line(text: str, title: str) -> None:
    assert clean_title(text) == title
    assert len(clean_title(text)) <= MAX_TITLE_LENGTH


def test_words_are_those_of_text_and_tags() -> None:
    tag = UserMessageTagContent(id="1", text="Ada", data={})
    assert message_text(message("ask ", tag, " about it")) == "ask @Ada about it"


def test_name_of_the_attachment_stands_for_words_when_there_are_none() -> None:
    attachment = FileAttachment(id="atc_1", name="plan.pdf", mime_type="application/pdf")
    assert message_text(message("", attachments=(attachment,))) == "plan.pdf"
