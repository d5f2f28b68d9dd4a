"""What the model did with tools, kept in the thread so that later turns tell it of it unchanged.

A response that called tools is a hidden item: any store keeps it, no client sees it, and it goes
when what it belongs to goes (a retry, a deleted thread). It holds the response and what the tools
returned as input items, with whatever the provider wants back along with a call.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from app.chatkit.agents.input_items import (
    CALL_TYPES,
    CUT_OFF,
    OUTPUT_TYPES,
    Item,
    create_output,
    is_kept_elsewhere,
    to_item,
    to_output_text,
    to_plain_item,
)
from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import SDKHiddenContextItem, now
from app.chatkit.untyped import get_field, get_list, get_text

TOOL_CALL_PREFIX = "call_"
"""How the ids of remembered responses begin."""

MESSAGE_REFERENCE = "message_reference"
"""The type of an entry that stands for an item of the thread: ``{"type", "item_id"}``."""

MAX_OUTPUT = 50_000
"""How much of an output later turns are told, in characters."""
MAX_ARGUMENTS = 50_000
"""Longer arguments are left out: truncated JSON would be invalid."""
MAX_REASONING = 200_000
"""Longer reasoning is left out, in characters of JSON."""


@dataclass(frozen=True, slots=True)
class RememberedResponse:
    """A response with calls, and what these returned, as input items.

    ``after`` is the id of the item that the model was told last before its run. ``is_last`` tells
    that no response followed in the run: a tool ended it, or something failed.
    """

    items: list[Item]
    after: str | None = None
    is_last: bool = False

    @property
    def calls(self) -> dict[str, Item]:
        """The calls by their ids."""
        return {str(each["call_id"]): each for each in self.items if each["type"] in CALL_TYPES}


def create_memory(
    thread_id: str, response: RememberedResponse, item_id: str | None = None
) -> SDKHiddenContextItem:
    """Return the hidden item that remembers a response, with a new id unless it has one."""
    content = {
        "after": response.after,
        "is_last": response.is_last,
        "items": [_shorten(each) for each in response.items],
    }
    return SDKHiddenContextItem(
        id=item_id or create_id(TOOL_CALL_PREFIX.rstrip("_")),
        thread_id=thread_id,
        created_at=now(),
        content=json.dumps(content, ensure_ascii=False, default=str),
    )


def is_tool_call(item: Any) -> bool:
    """Return whether an item remembers a response that called tools."""
    return isinstance(item, SDKHiddenContextItem) and item.id.startswith(TOOL_CALL_PREFIX)


def read_memory(item: Any) -> RememberedResponse | None:
    """Return what an item remembers, or None for any other item and for what cannot be read."""
    if not is_tool_call(item):
        return None
    try:
        content: Any = json.loads(item.content or "{}")
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    given = cast("Item", content)
    items = [each for each in get_list(given, "items") if _is_readable(each)]
    if not items:
        items = _read_single_call(given)
    after = get_text(given, "after") or None
    return RememberedResponse(items, after, bool(given.get("is_last"))) if items else None


def _is_readable(entry: Any) -> bool:
    kind = get_text(entry, "type")
    if kind in CALL_TYPES or kind in OUTPUT_TYPES:
        return bool(get_text(entry, "call_id"))
    return bool(kind)


def _read_single_call(content: Item) -> list[Item]:
    """Return a call and its output from an item of the first version, which had only these."""
    call_id, name = get_text(content, "call_id"), get_text(content, "name")
    if not call_id or not name:
        return []
    arguments = get_text(content, "arguments") or "{}"
    call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return [call, create_output(call_id, get_text(content, "output"), call)]


def _shorten(item: Item) -> Item:
    kind = item["type"]
    if kind == "function_call" and len(str(item.get("arguments"))) > MAX_ARGUMENTS:
        return item | {"arguments": "{}"}
    if kind not in OUTPUT_TYPES:
        return item
    text = to_output_text(item.get("output"))
    if len(text) > MAX_OUTPUT:
        text = f"{text[:MAX_OUTPUT]}… ({len(text)} characters, the rest is left out)"
    return item | {"output": text}


# --- while a run goes on -------------------------------------------------------------------------


@dataclass(slots=True)
class RunMemory:
    """Gathers the responses of one run that call tools. ``after`` is what the model was told last.

    Each method returns the item that is to be stored now, if any.
    """

    thread_id: str
    after: str | None
    _open: list[Item] = field(default_factory=list[Item])
    _waiting: set[str] = field(default_factory=set[str])
    _last: SDKHiddenContextItem | None = None
    _last_response: RememberedResponse | None = None

    def note_response(
        self, output: Iterable[Any], message_ids: Iterable[str | None]
    ) -> SDKHiddenContextItem | None:
        """Note a finished response; ``message_ids`` are those of its messages in the thread."""
        pending = self.close()
        self._last = self._last_response = None
        response = list(output)
        if not any(get_field(each, "type") in CALL_TYPES for each in response):
            return pending
        ids = iter(message_ids)
        items: list[Item] = []
        for each in response:
            kind = get_field(each, "type")
            if kind == "message":
                if item_id := next(ids, None):
                    items.append(_refer_to(item_id, each))
            elif kind == "reasoning" or kind in CALL_TYPES:
                items.append(to_plain_item(to_item(each)))
            else:
                # A tool that the provider ran: what it thought before belongs to that.
                items = _without_last_reasoning(items)
        self._open = [each for each in items if _is_worth_keeping(each)]
        self._waiting = {str(each["call_id"]) for each in items if each["type"] in CALL_TYPES}
        return pending

    def note_output(self, raw: Any) -> SDKHiddenContextItem | None:
        """Note what a call has returned; the response is remembered with the last of them."""
        call_id = get_text(raw, "call_id")
        if get_field(raw, "type") not in OUTPUT_TYPES or call_id not in self._waiting:
            return None
        self._waiting.discard(call_id)
        self._open.append(to_plain_item(to_item(raw)))
        return None if self._waiting else self.close()

    def close(self) -> SDKHiddenContextItem | None:
        """Remember a response of which some call has returned nothing (yet)."""
        if not self._open:
            return None
        calls = {each["call_id"]: each for each in self._open if each["type"] in CALL_TYPES}
        missing = [call for call_id, call in calls.items() if call_id in self._waiting]
        outputs = [create_output(str(call["call_id"]), CUT_OFF, call) for call in missing]
        self._last_response = RememberedResponse([*self._open, *outputs], self.after)
        self._last = create_memory(self.thread_id, self._last_response)
        self._open, self._waiting = [], set()
        return self._last

    def end(self) -> SDKHiddenContextItem | None:
        """Note that the run has ended; return the last response again if that called tools."""
        if self._last is None or self._last_response is None:
            return None
        response = replace(self._last_response, is_last=True)
        return create_memory(self.thread_id, response, self._last.id)


def _refer_to(item_id: str, message: Any) -> Item:
    entry: Item = {"type": MESSAGE_REFERENCE, "item_id": item_id}
    phase = get_text(message, "phase")
    return entry | {"phase": phase} if phase else entry


def _is_worth_keeping(item: Item) -> bool:
    if item["type"] != "reasoning":
        return True
    return not is_kept_elsewhere(item) and len(json.dumps(item, default=str)) <= MAX_REASONING


def _without_last_reasoning(items: list[Item]) -> list[Item]:
    while items and items[-1]["type"] == "reasoning":
        items = items[:-1]
    return items
