"""Titles of threads: the first words of the first message, or better ones by a model.

A thread begins with its first words as a title. The model is asked when the answer has ended, since
many a server answers one request at a time. Whatever goes wrong with it, the first words stay; a
title that takes its time is stored behind the end of the stream.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents import ItemHelpers, ModelTracing
from openai.types.responses import ResponseOutputMessage

from app.chatkit.agents.fences import escape_hidden_marks
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    AssistantMessageItem,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
)
from app.chatkit.store import Store
from app.providers.models import AssistantModels
from app.providers.title_cleaning import clean_title, shorten_title

logger = logging.getLogger(__name__)

MAX_PROMPT_LENGTH = 2000
MAX_TITLE_TOKENS = 256
"""Of a model's answer: some think before they write six words."""
TITLE_TIMEOUT = 30.0
TITLE_GRACE = 1.0
"""Seconds that the end of an answer waits for its title; a page hears of a later one on reload."""

INSTRUCTIONS = (
    "Write a title of two to six words for a conversation that begins with this message. "
    "Use the language of the message. Answer with the title alone: no quotes, no final stop."
)


@dataclass
class Untitled:
    """A thread that has its first words as a title, and the message that these are of.

    ``is_over`` says that the turn is, so that a title has to be stored by itself.
    """

    thread: ThreadMetadata
    message: UserMessageItem
    words: str
    store: Store[RequestContext]
    context: RequestContext
    is_over: bool = False

    async def set_title(self, title: str) -> None:
        """Give the thread its title, where nobody else has."""
        # Not as a write of the run, which may have ended meanwhile.
        context = replace(self.context, run=None)
        stored = await self.store.load_thread(self.thread.id, context)
        if self.thread.title != self.words or stored.title not in (None, self.words):
            return  # one that was set meanwhile, by the user or by a tool, is meant
        if not self.is_over:
            self.thread.title = title
            return
        stored.title = title
        await self.store.chatkit_save_thread_changes(stored, frozenset({"title"}), context)


class TitleWriter:
    """Gives threads their titles; ``aclose`` it at the end of the process."""

    def __init__(self, models: AssistantModels) -> None:
        self._models = models
        self._tasks: set[asyncio.Task[None]] = set()

    def find_untitled(
        self,
        thread: ThreadMetadata,
        history: Sequence[ThreadItem],
        store: Store[RequestContext],
        context: RequestContext,
    ) -> Untitled | None:
        """Return the thread if it has no title yet but its first words, which it gets here.

        A thread whose first message was answered in an earlier turn is not asked about again.
        """
        messages = [each for each in history if isinstance(each, UserMessageItem)]
        is_answered = any(isinstance(each, AssistantMessageItem) for each in history)
        is_first = len(messages) == 1 or not is_answered
        if not messages or not (is_first or thread.title is None):
            return None
        message = messages[0] if is_first else messages[-1]
        words = first_words(message)
        if words is None or thread.title not in (None, words):
            return None
        thread.title = words
        return Untitled(thread, message, words, store, context)

    async def improve(self, untitled: Untitled) -> None:
        """Have the model write a title, and wait a moment for it."""
        if not self._models.writes_titles:
            return
        task = asyncio.create_task(self._write_title(untitled))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task}, timeout=TITLE_GRACE)
        finally:
            untitled.is_over = True

    async def _write_title(self, untitled: Untitled) -> None:
        try:
            title = await self._ask_model(message_text(untitled.message))
            if title:
                await untitled.set_title(title)
        except Exception:
            # Whatever a provider or a store can raise: a title is not worth an error.
            logger.warning("No title from the model; the first words stay", exc_info=True)

    async def _ask_model(self, text: str) -> str:
        name = self._models.title_model
        async with asyncio.timeout(TITLE_TIMEOUT):
            response = await self._models.get_model(name).get_response(
                INSTRUCTIONS,
                escape_hidden_marks(text[:MAX_PROMPT_LENGTH]),
                self._models.get_model_settings(name, max_tokens=MAX_TITLE_TOKENS),
                tools=[],
                output_schema=None,
                handoffs=[],
                tracing=ModelTracing.DISABLED,
                previous_response_id=None,
                conversation_id=None,
                prompt=None,
            )
        messages = [each for each in response.output if isinstance(each, ResponseOutputMessage)]
        answer = "".join(ItemHelpers.extract_text(each) or "" for each in messages)
        return clean_title(answer)

    async def aclose(self) -> None:
        """Give up the titles that are still being written."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def first_words(message: UserMessageItem) -> str | None:
    """Return the title that a message gives, or None if it says nothing."""
    return shorten_title(message_text(message)) or None


def message_text(message: UserMessageItem) -> str:
    """Return the words of a message, or the name of its first attachment."""
    words = "".join(
        f"@{part.text}" if part.type == "input_tag" else part.text for part in message.content
    )
    if words.strip():
        return words
    return message.attachments[0].name if message.attachments else ""
