"""Titles: from the first words or from the model, and never in the way of the answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agents import Model, ModelResponse, ModelSettings, Usage
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from app.assistant import titles
from app.assistant.titles import TitleWriter, first_words, message_text
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    FileAttachment,
    InferenceOptions,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    now,
)
from app.providers.models import AssistantModels
from app.providers.title_cleaning import MAX_TITLE_LENGTH, clean_title, shorten_title
from app.settings import Settings
from tests.support.memory_store import MemoryStore

FIRST_WORDS = "How do I bake bread"
Reply = Callable[[str], Awaitable[str]]


class ScriptedModels(AssistantModels):
    """Models of a provider that is a function here."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(Settings(_env_file=None))  # type: ignore[call-arg]
        self.reply = reply

    @property
    def is_offline(self) -> bool:
        return False

    def get_model(self, model_name: str | None = None) -> Model:
        return ScriptedModel(self.reply)


class ScriptedModel(Model):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def get_response(
        self, instructions: str | None, input: Any, settings: ModelSettings, *_: Any, **__: Any
    ):
        text = await self.reply(input)
        part = ResponseOutputText(type="output_text", text=text, annotations=[])
        message = ResponseOutputMessage(
            id="msg_1", type="message", role="assistant", status="completed", content=[part]
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def message(*parts: Any, attachments: tuple[FileAttachment, ...] = ()) -> UserMessageItem:
    return UserMessageItem(
        id="msg_1",
        thread_id="thr_1",
        created_at=now(),
        content=[UserMessageTextContent(text=p) if isinstance(p, str) else p for p in parts],
        attachments=list(attachments),
        inference_options=InferenceOptions(),
    )


def answer() -> AssistantMessageItem:
    content = [AssistantMessageContent(text="Knead it.")]
    return AssistantMessageItem(id="msg_2", thread_id="thr_1", created_at=now(), content=content)


class FirstTurn:
    """A turn of a thread in a store, as far as its title goes."""

    def __init__(self, reply: Reply | None, title: str | None = None) -> None:
        models = ScriptedModels(reply) if reply else AssistantModels(Settings(_env_file=None))  # type: ignore[call-arg]
        self.writer = TitleWriter(models)
        self.store = MemoryStore()
        self.context = RequestContext(user_id="user_1")
        self.thread = ThreadMetadata(id="thr_1", created_at=now(), title=title)

    async def run(self, *history: ThreadItem) -> None:
        """Begin and end the turn, and store what it did to the thread as the engine does."""
        untitled = self.begin(*history)
        await self.save()
        if untitled is not None:
            await self.writer.improve(untitled)
        await self.save()

    def begin(self, *history: ThreadItem) -> titles.Untitled | None:
        given = history or (message(FIRST_WORDS),)
        return self.writer.find_untitled(self.thread, given, self.store, self.context)

    async def save(self) -> None:
        await self.store.save_thread(self.thread.model_copy(), self.context)

    async def stored_title(self) -> str | None:
        return (await self.store.load_thread("thr_1", self.context)).title


def replying(title: str) -> Reply:
    async def reply(_: str) -> str:
        return title

    return reply


async def refuse(_: str) -> str:
    raise RuntimeError("no credit left")


async def never(_: str) -> str:
    raise AssertionError("the model was asked")


# --- when it is set ------------------------------------------------------------------------------


async def test_first_words_are_the_title_when_offline() -> None:
    turn = FirstTurn(None)
    await turn.run()
    assert turn.thread.title == FIRST_WORDS


async def test_model_is_asked_when_the_answer_has_ended() -> None:
    asked: list[str] = []

    async def reply(text: str) -> str:
        asked.append(text)
        return '"Baking bread"\n'

    turn = FirstTurn(reply)
    untitled = turn.begin()
    await turn.save()
    assert (turn.thread.title, asked) == (FIRST_WORDS, [])
    assert untitled is not None
    await turn.writer.improve(untitled)
    assert turn.thread.title == "Baking bread"
    assert asked == [FIRST_WORDS]


@pytest.mark.parametrize("title", ["", "  ", "**", "Title:", "{}", "<think>Hm"])
async def test_first_words_stay_when_the_model_has_none(title: str) -> None:
    turn = FirstTurn(replying(title))
    await turn.run()
    assert turn.thread.title == FIRST_WORDS


async def test_first_words_stay_when_the_model_fails(caplog: pytest.LogCaptureFixture) -> None:
    turn = FirstTurn(refuse)
    with caplog.at_level("WARNING"):
        await turn.run()
    assert turn.thread.title == FIRST_WORDS
    assert "no credit left" in caplog.text


async def test_first_words_stay_when_the_model_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(titles, "TITLE_TIMEOUT", 0.01)
    turn = FirstTurn(lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    await turn.run()
    assert turn.thread.title == FIRST_WORDS


@pytest.mark.parametrize("user_title", [None, "The user's own"])
async def test_slow_title_is_stored_behind_the_end_of_the_turn(
    monkeypatch: pytest.MonkeyPatch, user_title: str | None
) -> None:
    monkeypatch.setattr(titles, "TITLE_GRACE", 0.0)
    gate, tasks = asyncio.Event(), asyncio.all_tasks()

    async def reply(_: str) -> str:
        await gate.wait()
        return "Baking bread"

    turn = FirstTurn(reply)
    await turn.run()
    assert await turn.stored_title() == FIRST_WORDS
    if user_title is not None:
        turn.thread.title = user_title
        await turn.save()
        turn.thread.title = FIRST_WORDS  # the turn has a copy of its own
    gate.set()
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)
    assert await turn.stored_title() == (user_title or "Baking bread")


async def test_slow_title_is_given_up_at_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(titles, "TITLE_GRACE", 0.0)
    tasks = asyncio.all_tasks()
    turn = FirstTurn(lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    await turn.run()
    assert asyncio.all_tasks() != tasks
    await turn.writer.aclose()
    assert asyncio.all_tasks() == tasks
    assert await turn.stored_title() == FIRST_WORDS


async def test_title_that_is_still_written_when_the_turn_is_cancelled_is_stored() -> None:
    gate = asyncio.Event()

    async def reply(_: str) -> str:
        await gate.wait()
        return "Baking bread"

    tasks = asyncio.all_tasks()
    turn = FirstTurn(reply)
    untitled = turn.begin()
    await turn.save()
    assert untitled is not None
    waiting = asyncio.create_task(turn.writer.improve(untitled))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.set()
    while asyncio.all_tasks() != tasks:
        await asyncio.sleep(0)
    assert await turn.stored_title() == "Baking bread"


@pytest.mark.parametrize(
    ("title", "becomes"), [(FIRST_WORDS, "From the model"), ("From a tool", "From a tool")]
)
async def test_model_replaces_the_title_that_a_thread_begins_with_and_no_other(
    title: str, becomes: str
) -> None:
    turn = FirstTurn(replying("From the model"), title)
    await turn.run()
    assert turn.thread.title == becomes


async def test_model_is_asked_once_even_where_its_title_came_to_the_first_words() -> None:
    turn = FirstTurn(never, FIRST_WORDS)
    await turn.run(message(FIRST_WORDS), answer(), message("Thanks"))
    assert turn.thread.title == FIRST_WORDS


async def test_model_is_asked_when_the_turn_goes_on_after_a_client_tool() -> None:
    turn = FirstTurn(replying("From the model"), FIRST_WORDS)
    await turn.run(message(FIRST_WORDS), answer())
    assert turn.thread.title == "From the model"


async def test_title_stays_when_the_user_sets_one_meanwhile() -> None:
    turn = FirstTurn(replying("From the model"))
    untitled = turn.begin()
    assert untitled is not None
    await turn.store.save_thread(
        turn.thread.model_copy(update={"title": "The user's own"}), turn.context
    )
    await turn.writer.improve(untitled)
    assert turn.thread.title == FIRST_WORDS  # not changed, so not saved


async def test_title_stays_when_a_tool_sets_one_meanwhile() -> None:
    turn = FirstTurn(replying("From the model"))
    untitled = turn.begin()
    await turn.save()
    turn.thread.title = "From a tool"
    assert untitled is not None
    await turn.writer.improve(untitled)
    assert turn.thread.title == "From a tool"


async def test_no_title_is_set_when_nothing_was_said() -> None:
    turn = FirstTurn(never)
    assert turn.begin(message(" \n")) is None
    assert turn.begin(answer()) is None
    assert turn.thread.title is None


# --- the words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  hello\n\n world ", "hello world"),
        ("# A *title*", "A *title"),
        ("“Quoted”", "Quoted"),
        ("what's up?", "what's up?"),
        ("Title: mine", "Title: mine"),
        ("🎉" * 80, "🎉" * 59 + "…"),
        ("word, " * 20, "word, word, word, word, word, word, word, word, word…"),
    ],
)
def test_words_are_one_line(text: str, title: str) -> None:
    assert shorten_title(text) == title
    assert len(shorten_title(text)) <= MAX_TITLE_LENGTH
    assert first_words(message(text)) == title


WANTED = "Weather in Rome"


@pytest.mark.parametrize(
    "answer",
    [
        WANTED,
        f"Title: {WANTED}",
        f"**Title:** {WANTED}",
        f'**Title**: "{WANTED}"',
        f"Titel: {WANTED}",
        f"Titre : « {WANTED} »",
        f"标题：{WANTED}",
        f"Suggested conversation title: {WANTED}.",
        f'"{WANTED}"',
        f"“{WANTED}.”",
        f"'**{WANTED}**'",
        f"# {WANTED}",
        f"## Title: {WANTED}\n\nThis title sums the message up.",
        f"Sure! Here is a title:\n\n**{WANTED}**",
        f"Here's a short title for your conversation:\n{WANTED}",
        f"1. {WANTED}\n2. Rome weather",
        f"- {WANTED}",
        f"<think>A title. Title: no</think> {WANTED}",
        f"<thinking>\nHm\n</thinking>\n\n{WANTED}",
        f"Let me think.\n</think>\n{WANTED}",
        f"<|channel|>analysis<|message|>Hm<|end|><|channel|>final<|message|>{WANTED}",
        f"**Title:**\n{WANTED}",
        f"Okay.\nTitle - short:\n\n{WANTED}\n",
        f"`{WANTED}`",
        f"```\n{WANTED}\n```",
        f'```json\n{{"title": "{WANTED}"}}\n```',
        json.dumps({"title": WANTED}),
        json.dumps({"conversation_title": WANTED, "language": "en"}),
        json.dumps([WANTED, "Rome"]),
        json.dumps({"result": {"Title": WANTED}}),
        json.dumps(WANTED),
        f'Here you go: {{"title": "{WANTED}"}}',
        f'{{"title": "{WANTED}',
        f"[{WANTED}](https://example.com)",
        f"{WANTED}\n",
        f"> {WANTED}",
        f"***{WANTED}***",
    ],
)
def test_title_is_found_in_what_a_model_answers(answer: str) -> None:
    assert clean_title(answer) == WANTED


@pytest.mark.parametrize(
    "title",
    [
        "Why is the sky blue?",
        "What's a C# title",
        "Rock 'n' roll",
        "Using {braces} in Python",
        "snake_case names",
        "Title IX explained",
        "The title of Duke",
        "3.5 million years",
        "St. Petersburg",
        "Node.js vs. Deno",
        "Okay Google setup",
        "Übersetzung: Hallo Welt",
        "日本の天気",
    ],
)
def test_title_that_is_one_is_left_alone(title: str) -> None:
    assert clean_title(title) == title


@given(st.text(max_size=300))
def test_whatever_a_model_answers_becomes_one_line(text: str) -> None:
    title = clean_title(text)
    assert len(title) <= MAX_TITLE_LENGTH
    assert not any(each in title for each in "\n\r\x85\u2028")


def test_words_are_those_of_text_and_tags() -> None:
    tag = UserMessageTagContent(id="1", text="Ada", data={})
    assert message_text(message("ask ", tag, " about it")) == "ask @Ada about it"


def test_name_of_the_attachment_stands_for_words_when_there_are_none() -> None:
    attachment = FileAttachment(id="atc_1", name="plan.pdf", mime_type="application/pdf")
    assert message_text(message("", attachments=(attachment,))) == "plan.pdf"
