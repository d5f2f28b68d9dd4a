"""A remembered response as the model is told it again, with what has become of it since."""

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from agents import TResponseInputItem

from app.chatkit.agents.history_order import ToldItem
from app.chatkit.agents.input_items import (
    CALL_TYPES,
    NO_OUTPUT,
    NOT_ANSWERED,
    OUTPUT_TYPES,
    Item,
    create_output,
)
from app.chatkit.agents.tool_memory import MESSAGE_REFERENCE, RememberedResponse
from app.chatkit.protocol.items import AssistantMessageItem, ClientToolCallItem, ThreadItem

ConvertItem = Callable[[ThreadItem], Awaitable[list[TResponseInputItem]]]


class ToldResponses:
    """Tells the remembered responses of a thread; ``convert`` is how its other items are told.

    A message is told as the thread has it now, and a call of the page with what the page answered.
    """

    def __init__(self, told: Iterable[ToldItem], convert: ConvertItem) -> None:
        self._convert = convert
        self._messages: dict[str, AssistantMessageItem] = {}
        self._page_calls: dict[str, ClientToolCallItem] = {}
        responses: list[RememberedResponse] = []
        for each in told:
            if each.response is not None:
                responses.append(each.response)
            elif isinstance(each.item, AssistantMessageItem):
                self._messages[each.item.id] = each.item
            elif isinstance(each.item, ClientToolCallItem):
                self._page_calls[each.item.call_id] = each.item
        self._message_ids = {
            entry.get("item_id") for response in responses for entry in response.items
        }
        self._call_ids = {call_id for response in responses for call_id in response.calls}

    def has(self, item: ThreadItem) -> bool:
        """Return whether an item of the thread is told as a part of a response."""
        if isinstance(item, ClientToolCallItem):
            return item.call_id in self._call_ids
        return item.id in self._message_ids

    async def tell(self, response: RememberedResponse) -> list[TResponseInputItem]:
        """Return the input items of a response."""
        told: list[Item] = []
        answers, others = await self._find_answers(response)
        for entry in response.items:
            kind, call_id = entry["type"], entry.get("call_id")
            if kind == MESSAGE_REFERENCE:
                told += await self._tell_message(entry)
            elif kind not in CALL_TYPES and kind not in OUTPUT_TYPES:
                told += [entry] if answers else []  # without a call, nobody wants it back
            elif call_id in answers:
                told.append((answers[call_id] or entry) if kind in OUTPUT_TYPES else entry)
        returned = {each["call_id"] for each in told if each["type"] in OUTPUT_TYPES}
        for call_id, answer in answers.items():
            if call_id not in returned:
                told.append(answer or create_output(call_id, NO_OUTPUT, response.calls[call_id]))
        return [*cast("list[TResponseInputItem]", told), *others]

    async def _tell_message(self, entry: Item) -> list[Item]:
        message = self._messages.get(str(entry.get("item_id")))
        if message is None:
            return []
        told = cast("list[Item]", await self._convert(message))
        if len(told) == 1 and entry.get("phase") and told[0].get("role") == "assistant":
            return [told[0] | {"phase": entry["phase"]}]
        return told

    async def _find_answers(
        self, response: RememberedResponse
    ) -> tuple[dict[str, Item | None], list[TResponseInputItem]]:
        """Return the calls that are told, with the page's answers, and what stands for the others.

        None stands for what the tool returned itself.
        """
        answers: dict[str, Item | None] = {}
        others: list[TResponseInputItem] = []
        for call_id, call in response.calls.items():
            page_call = self._page_calls.get(call_id)
            if page_call is None:
                answers[call_id] = None
                continue
            told = cast("list[Item]", await self._convert(page_call))
            answer = next((each for each in told if _is_output_of(call_id, each)), None)
            if answer is not None:
                answers[call_id] = answer
            elif not told and page_call.status == "pending":
                answers[call_id] = create_output(call_id, NOT_ANSWERED, call)
            else:  # the converter tells of it in its own way
                others += cast("list[TResponseInputItem]", told)
        return answers, others


def _is_output_of(call_id: str, item: Item) -> bool:
    return item.get("type") in OUTPUT_TYPES and item.get("call_id") == call_id
