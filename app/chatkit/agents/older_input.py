"""``to_input_item``, with which older guides make a model's input."""

from collections.abc import Awaitable, Callable
from typing import Any

from agents import TResponseInputItem
from openai.types.responses import ResponseInputContentParam

from app.chatkit.agents.item_converter import ThreadItemConverter
from app.chatkit.protocol.items import Attachment

ToMessageContent = Callable[[Any], Awaitable[ResponseInputContentParam]]


async def to_input_item(
    input: Any, to_message_content: ToMessageContent | None = None
) -> list[TResponseInputItem]:
    """Return the input for an item or for items; ``to_message_content`` converts attachments.

    None, which is what a server is given where no message continues the turn, is no input.
    """
    if input is None:
        return []
    return await _Converter(to_message_content).to_agent_input(input)


class _Converter(ThreadItemConverter):
    def __init__(self, to_message_content: ToMessageContent | None) -> None:
        self._to_message_content = to_message_content

    async def attachment_to_message_content(
        self, attachment: Attachment
    ) -> ResponseInputContentParam:
        if self._to_message_content is None:
            return await super().attachment_to_message_content(attachment)
        return await self._to_message_content(attachment)
