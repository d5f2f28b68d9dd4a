"""``ThreadItemConverter``: what a thread holds, as input for the model.

Every kind of item has a method to override. The defaults are safe: whatever a thread holds, the
model gets something sensible, and no item makes the thread unanswerable. Data stands between tags
that it cannot close (``fence``), and nothing but a hidden note looks like one.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any, assert_never

from agents import TResponseInputItem
from openai.types.responses import (
    EasyInputMessageParam,
    ResponseFunctionToolCallParam,
    ResponseInputContentParam,
    ResponseInputImageParam,
    ResponseInputTextParam,
    ResponseOutputText,
)
from openai.types.responses.response_input_item_param import FunctionCallOutput, Message

from app.chatkit.agents.fences import HIDDEN_TAG, escape_hidden_marks, fence
from app.chatkit.agents.history_order import ToldItem, order_as_told
from app.chatkit.agents.told_responses import ToldResponses
from app.chatkit.agents.tool_memory import is_tool_call, read_memory
from app.chatkit.protocol.held_calls import is_held_calls
from app.chatkit.protocol.items import (
    AssistantMessageItem,
    Attachment,
    ClientToolCallItem,
    EndOfTurnItem,
    GeneratedImageItem,
    HiddenContextItem,
    SDKHiddenContextItem,
    StructuredInput,
    StructuredInputItem,
    Task,
    TaskItem,
    ThreadItem,
    UserMessageItem,
    UserMessageTagContent,
    WidgetItem,
    WorkflowItem,
    is_hidden,
)
from app.chatkit.protocol.own_classes import to_own_item

InputItems = TResponseInputItem | list[TResponseInputItem] | None
"""What a conversion method returns: one input item, several, or nothing."""

MAX_NAME_LENGTH = 200
MAX_TAG_DATA_LENGTH = 4000

MENTIONS_NOTE = (
    "What the @-mentions in this message stand for. "
    "When you name one of them, leave out the '@': only the user writes it."
)

logger = logging.getLogger("chatkit")


# --- building blocks -----------------------------------------------------------------------------


def json_text(value: Any) -> str:
    """Return ``value`` as readable JSON; what JSON cannot hold becomes its ``str``."""
    return json.dumps(value, ensure_ascii=False, default=str)


def shorten(text: str, length: int) -> str:
    """Return ``text``, cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def text_part(text: str) -> ResponseInputTextParam:
    """Return a text part of a message."""
    return ResponseInputTextParam(type="input_text", text=text)


def user_message(*parts: ResponseInputContentParam) -> Message:
    """Return a message of the user's side."""
    return Message(type="message", role="user", content=list(parts))


def describe_attachment(attachment: Attachment) -> ResponseInputTextParam:
    """Return a note that names a file whose content the model does not get."""
    name = json_text(shorten(attachment.name, MAX_NAME_LENGTH))
    kind = json_text(shorten(attachment.mime_type, MAX_NAME_LENGTH))
    note = f"The user attached the file {name} (type {kind}); you cannot see its content."
    return text_part(note)


def describe_tag(tag: UserMessageTagContent) -> ResponseInputTextParam:
    """Return a note of what an @-mention stands for."""
    facts: dict[str, Any] = {"text": tag.text, "id": tag.id}
    if tag.group:
        facts["group"] = tag.group
    if tag.data:
        facts["data"] = tag.data
    return text_part(fence("Mention", shorten(json_text(facts), MAX_TAG_DATA_LENGTH)))


# --- the converter -------------------------------------------------------------------------------


class ThreadItemConverter:
    """Turns thread items into input items of the Agents SDK; the methods are to be overridden."""

    # --- user messages ---------------------------------------------------------------------------

    async def attachment_to_message_content(
        self, attachment: Attachment
    ) -> ResponseInputContentParam:
        """Return the part that shows the model an attachment; by default a note with its name."""
        return describe_attachment(attachment)

    async def tag_to_message_content(self, tag: UserMessageTagContent) -> ResponseInputContentParam:
        """Return the part that explains an @-mention; by default its text, id, group and data."""
        return describe_tag(tag)

    async def user_message_to_input(
        self, item: UserMessageItem, is_last_message: bool = True
    ) -> InputItems:
        """Return the message with its attachments, then its quote, then what its tags stand for.

        The quote is given wherever the message stands, so ``is_last_message`` changes nothing here.
        """
        texts: list[str] = []
        tags: dict[str, UserMessageTagContent] = {}
        for part in item.content:
            if part.type == "input_tag":
                texts.append(f"@{part.text}")
                tags.setdefault(part.id or part.text, part)
            else:
                texts.append(part.text)
        text = "".join(texts)
        parts = [await self._chatkit_convert_attachment(each) for each in item.attachments]
        if text or not parts:
            parts.insert(0, text_part(text))
        messages: list[TResponseInputItem] = [user_message(*parts)]
        if item.quoted_text:
            quote = fence("Quote", item.quoted_text)
            messages.append(user_message(text_part(f"The user refers to this passage:\n{quote}")))
        if tags:
            mentions = [await self._chatkit_convert_tag(each) for each in tags.values()]
            messages.append(user_message(text_part(MENTIONS_NOTE), *mentions))
        return messages

    async def _chatkit_convert_attachment(
        self, attachment: Attachment
    ) -> ResponseInputContentParam:
        try:
            return await self.attachment_to_message_content(attachment)
        except Exception:
            # A file that cannot be read now must not make the thread unanswerable for ever.
            logger.exception("Attachment left out", extra={"attachment_id": attachment.id})
            return describe_attachment(attachment)

    async def _chatkit_convert_tag(self, tag: UserMessageTagContent) -> ResponseInputContentParam:
        try:
            return await self.tag_to_message_content(tag)
        except Exception:
            logger.exception("Tag left unresolved", extra={"tag_id": tag.id})
            return describe_tag(tag)

    # --- the assistant's side --------------------------------------------------------------------

    async def assistant_message_to_input(self, item: AssistantMessageItem) -> InputItems:
        """Return the answer's parts, without annotations; nothing for an empty one.

        The Agents SDK takes these for the Responses API only; ``to_plain_items`` makes them text.
        """
        parts: list[Any] = [
            ResponseOutputText(type="output_text", text=part.text, annotations=[]).model_dump()
            for part in item.content
            if part.text
        ]
        if not parts:
            return None
        return EasyInputMessageParam(type="message", role="assistant", content=parts)

    async def client_tool_call_to_input(self, item: ClientToolCallItem) -> InputItems:
        """Return a completed call with its output; nothing for a pending one."""
        if item.status == "pending":
            return None
        return [
            ResponseFunctionToolCallParam(
                type="function_call",
                call_id=item.call_id,
                name=item.name,
                arguments=json_text(item.arguments),
            ),
            FunctionCallOutput(
                type="function_call_output", call_id=item.call_id, output=json_text(item.output)
            ),
        ]

    async def widget_to_input(self, item: WidgetItem) -> InputItems:
        """Return the widget as JSON, with the item's id."""
        data = item.widget.model_dump_json(exclude_unset=True, exclude_none=True)
        note = f"The user was shown this widget (id: {item.id}):\n{fence('Widget', data)}"
        return user_message(text_part(note))

    async def generated_image_to_input(self, item: GeneratedImageItem) -> InputItems:
        """Return the image, or a note where a model cannot reach its URL; nothing if pending."""
        if item.image is None:
            return None
        url = item.image.url
        if not url.lower().startswith(("data:", "http://", "https://")):
            note = "An image was generated for the user here; you cannot see it."
            return user_message(text_part(note))
        return user_message(
            text_part("This image was generated for the user:"),
            ResponseInputImageParam(type="input_image", detail="auto", image_url=url),
        )

    async def task_to_input(self, item: TaskItem) -> InputItems:
        """Return a custom task that says something; nothing for any other."""
        return _describe_task(item.task)

    async def workflow_to_input(self, item: WorkflowItem) -> InputItems:
        """Return a message for each custom task that says something."""
        messages = [_describe_task(task) for task in item.workflow.tasks]
        return [message for message in messages if message is not None]

    async def structured_input_to_input(self, item: StructuredInputItem) -> InputItems:
        """Return the questions to the user with their answers."""
        lines = [f"- {question.question}: {_describe_answer(question)}" for question in item.inputs]
        form = fence("StructuredInput", "\n".join(lines))
        note = f"The user was asked these questions; the form's status is {item.status}:\n{form}"
        return user_message(text_part(note))

    async def end_of_turn_to_input(self, item: EndOfTurnItem) -> InputItems:
        """Return nothing: the item is for the client."""
        return None

    # --- hidden notes ----------------------------------------------------------------------------

    async def hidden_context_to_input(self, item: HiddenContextItem) -> InputItems:
        """Return the note's text, or its content as JSON if that is no text."""
        content: Any = item.content
        return _describe_hidden(content if isinstance(content, str) else json_text(content))

    async def sdk_hidden_context_to_input(self, item: SDKHiddenContextItem) -> InputItems:
        """Return a note of the engine's own, or a tool call that it remembers.

        One without content is a mark, and says nothing.
        """
        if is_held_calls(item):
            return None
        if is_tool_call(item):
            response = read_memory(item)
            responses = ToldResponses((ToldItem(item, response),), self._thread_item_to_input_item)
            return await responses.tell(response) if response else None
        return _describe_hidden(item.content) if item.content else None

    # --- whole threads ---------------------------------------------------------------------------

    async def to_agent_input(
        self, thread_items: Sequence[ThreadItem] | ThreadItem
    ) -> list[TResponseInputItem]:
        """Return the input items for an item, or for items in the order of the thread.

        What the model did with tools is told as it saw it then, and in that order.
        """
        given = thread_items if isinstance(thread_items, Sequence) else [thread_items]
        items = [to_own_item(each) for each in given]
        told = order_as_told(items)
        responses = ToldResponses(told, self._thread_item_to_input_item)
        result: list[TResponseInputItem] = []
        for position, each in enumerate(told, start=1):
            if responses.has(each.item):
                continue
            is_last = position == len(told)
            if each.response is not None:
                converted = await responses.tell(each.response)
            else:
                converted = await self._thread_item_to_input_item(each.item, is_last)
            if not _is_note(each.item):
                # Notes are in the user's role: whatever else a thread holds must not look like one.
                converted = escape_hidden_marks(converted)
            result += converted
        return result

    async def _thread_item_to_input_item(
        self, item: ThreadItem, is_last_message: bool = True
    ) -> list[TResponseInputItem]:
        """Return the input items for one item, by the method of its kind."""
        converted = await self._chatkit_convert(item, is_last_message)
        if converted is None:
            return []
        return converted if isinstance(converted, list) else [converted]

    async def _chatkit_convert(self, item: ThreadItem, is_last_message: bool) -> InputItems:
        match item:
            case UserMessageItem():
                return await self.user_message_to_input(item, is_last_message)
            case AssistantMessageItem():
                return await self.assistant_message_to_input(item)
            case ClientToolCallItem():
                return await self.client_tool_call_to_input(item)
            case WidgetItem():
                return await self.widget_to_input(item)
            case GeneratedImageItem():
                return await self.generated_image_to_input(item)
            case StructuredInputItem():
                return await self.structured_input_to_input(item)
            case WorkflowItem():
                return await self.workflow_to_input(item)
            case TaskItem():
                return await self.task_to_input(item)
            case HiddenContextItem():
                return await self.hidden_context_to_input(item)
            case SDKHiddenContextItem():
                return await self.sdk_hidden_context_to_input(item)
            case EndOfTurnItem():
                return await self.end_of_turn_to_input(item)
            case _:
                assert_never(item)


def _is_note(item: ThreadItem) -> bool:
    return is_hidden(item) and not is_tool_call(item)


def _describe_task(task: Task) -> Message | None:
    if task.type != "custom":
        return None
    text = ": ".join(part for part in (task.title, task.content) if part)
    if not text:
        return None
    return user_message(text_part(f"The user was shown this step:\n{fence('Task', text)}"))


def _describe_hidden(text: str) -> Message:
    note = fence(HIDDEN_TAG, text)
    return user_message(text_part(f"A note for you, which the user does not see:\n{note}"))


def _describe_answer(question: StructuredInput) -> str:
    if question.answer is None:
        return "not answered"
    if question.answer.skipped:
        return "skipped"
    return ", ".join(question.answer.values)


_DEFAULT_CONVERTER = ThreadItemConverter()


async def simple_to_agent_input(
    thread_items: Sequence[ThreadItem] | ThreadItem,
) -> list[TResponseInputItem]:
    """Return the input items for thread items, by the defaults of ``ThreadItemConverter``."""
    return await _DEFAULT_CONVERTER.to_agent_input(thread_items)
