"""How the items of a thread are told to the model, where the defaults are not enough."""

from collections.abc import Sequence

from agents import TResponseInputItem
from openai.types.responses import ResponseInputContentParam

from app.assistant.files import ThreadFiles
from app.chatkit.agents.fences import fence
from app.chatkit.agents.item_converter import (
    InputItems,
    ThreadItemConverter,
    text_part,
    user_message,
)
from app.chatkit.protocol.items import Attachment, GeneratedImageItem, ThreadItem, WidgetItem


class AssistantConverter(ThreadItemConverter):
    """Has a hook for each kind of item; override those where the model should be told otherwise.

    Your own entities are a good reason (``tag_to_message_content``). ``files`` are those of the
    thread that is converted; without them the model only hears their names.
    """

    def __init__(self, files: ThreadFiles | None = None) -> None:
        self._files = files

    async def to_agent_input(
        self, thread_items: Sequence[ThreadItem] | ThreadItem
    ) -> list[TResponseInputItem]:
        """Return the input items; the files that they need are read first, all together."""
        items = thread_items if isinstance(thread_items, Sequence) else [thread_items]
        if self._files is not None:
            await self._files.read(items)
        return await super().to_agent_input(items)

    async def attachment_to_message_content(
        self, attachment: Attachment
    ) -> ResponseInputContentParam:
        """Return what is in a file, or its name where the model cannot be given more."""
        part = self._files.to_part(attachment) if self._files else None
        return part or await super().attachment_to_message_content(attachment)

    async def generated_image_to_input(self, item: GeneratedImageItem) -> InputItems:
        """Return an image of the assistant by its content: providers need not reach our URLs."""
        if item.image is None or self._files is None or not self._files.is_own(item.image.url):
            return await super().generated_image_to_input(item)
        part = self._files.to_generated_part(item.image.url)
        if part is None:
            return user_message(
                text_part("An image was generated for the user here; you cannot see it.")
            )
        return user_message(text_part("This image was generated for the user:"), part)

    async def widget_to_input(self, item: WidgetItem) -> InputItems:
        """Return what a widget says, where it can be copied as text; else the whole of it."""
        if not item.copy_text:
            return await super().widget_to_input(item)
        text = fence("Widget", item.copy_text)
        return user_message(text_part(f"The user was shown this widget (id: {item.id}):\n{text}"))
