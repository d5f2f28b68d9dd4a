"""Titles of threads: the first words of the first message, or better ones by a model.

A thread begins with its first words as a title. The model is asked while the answer is streamed;
whatever goes wrong with it, the first words stay, and the answer neither waits long for it nor
fails with it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from agents import ItemHelpers, ModelTracing
from openai.types.responses import ResponseOutputMessage

from app.chatkit.protocol.items import Thread, ThreadMetadata, UserMessageItem
from app.providers.models import AssistantModels

logger = logging.getLogger(__name__)

MAX_TITLE_LENGTH = 60
MAX_PROMPT_LENGTH = 2000
TITLE_TIMEOUT = 10.0
TITLE_GRACE = 1.0
"""Seconds that the end of an answer waits for a title that is still being thought of."""

INSTRUCTIONS = (
    "Write a title of two to six words for a conversation that begins with this message. "
    "Use the language of the message. Answer with the title alone: no quotes, no final stop."
)

LoadTitle = Callable[[], Awaitable[str | None]]


class TitleWriter:
    """Gives a thread its title in the first turn."""

    def __init__(self, models: AssistantModels) -> None:
        self._models = models

    @asynccontextmanager
    async def title_thread(
        self, thread: ThreadMetadata, message: UserMessageItem | None, load_title: LoadTitle
    ) -> AsyncGenerator[None]:
        """Set ``thread.title`` during the block or at its end, where nobody else has set it.

        ``load_title`` returns the stored one, which the user may have changed meanwhile. A block
        that fails or is stopped leaves the first words as the title, and no task behind.
        """
        words = first_words(message) if message else None
        is_untitled = thread.title is None or (isinstance(thread, Thread) and thread.title == words)
        if message is None or words is None or not is_untitled:
            yield
            return
        thread.title = words
        if self._models.is_offline:
            yield
            return
        task = asyncio.create_task(self._improve_title(thread, message, words, load_title))
        try:
            yield
            await asyncio.wait({task}, timeout=TITLE_GRACE)
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _improve_title(
        self, thread: ThreadMetadata, message: UserMessageItem, words: str, load_title: LoadTitle
    ) -> None:
        title = await self._ask_model(message_text(message))
        try:
            stored = await load_title() if title else None
        except Exception:
            logger.warning("no title: the thread could not be read", exc_info=True)
            return
        # A title that was set meanwhile (by the user, or by a tool) is meant.
        if title and thread.title == words and stored in (None, words):
            thread.title = title

    async def _ask_model(self, text: str) -> str:
        try:
            async with asyncio.timeout(TITLE_TIMEOUT):
                response = await self._models.get_model().get_response(
                    INSTRUCTIONS,
                    text[:MAX_PROMPT_LENGTH],
                    self._models.get_model_settings(),
                    tools=[],
                    output_schema=None,
                    handoffs=[],
                    tracing=ModelTracing.DISABLED,
                    previous_response_id=None,
                    conversation_id=None,
                    prompt=None,
                )
        except Exception:
            # A provider can fail in any way, and a title is not worth an error.
            logger.warning("no title from the model; taking the first words", exc_info=True)
            return ""
        messages = [each for each in response.output if isinstance(each, ResponseOutputMessage)]
        return clean_title("".join(ItemHelpers.extract_text(each) or "" for each in messages))


def first_words(message: UserMessageItem) -> str | None:
    """Return the title that a message gives, or None if it says nothing."""
    return clean_title(message_text(message)) or None


def message_text(message: UserMessageItem) -> str:
    """Return the words of a message, or the name of its first attachment."""
    words = "".join(
        f"@{part.text}" if part.type == "input_tag" else part.text for part in message.content
    )
    if words.strip():
        return words
    return message.attachments[0].name if message.attachments else ""


def clean_title(text: str) -> str:
    """Return ``text`` as a title: one line, no Markdown or quotes around it, cut between words."""
    line = " ".join(text.split()).strip("#*_`\"'“”„«»> ")
    if len(line) <= MAX_TITLE_LENGTH:
        return line
    cut = line[: MAX_TITLE_LENGTH - 1]
    words = cut.rsplit(" ", 1)[0] if " " in cut else cut
    return words.rstrip(" ,.;:-") + "…"
