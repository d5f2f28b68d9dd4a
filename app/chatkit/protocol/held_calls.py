"""Client tool calls that wait for others: the page gets one at a time.

The protocol's answer to a client tool call names no call, so only one may be open. The others of
the same answer are held in a hidden item behind it, until its output has come.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import ClientToolCallItem, SDKHiddenContextItem, ThreadItem, now

_PREFIX = "held"


class _Content(BaseModel):
    behind: str
    calls: list[ClientToolCallItem]


@dataclass(frozen=True, slots=True)
class HeldCalls:
    """The calls that come one after another behind the call with the id ``behind``."""

    item_id: str
    behind: str
    calls: list[ClientToolCallItem]


def hold_calls(behind: ClientToolCallItem, calls: list[ClientToolCallItem]) -> SDKHiddenContextItem:
    """Return the hidden item that holds ``calls`` until ``behind`` has its output."""
    return SDKHiddenContextItem(
        id=create_id(_PREFIX),
        thread_id=behind.thread_id,
        created_at=now(),
        content=_Content(behind=behind.id, calls=calls).model_dump_json(),
    )


def is_held_calls(item: ThreadItem) -> bool:
    """Return whether an item holds calls."""
    return isinstance(item, SDKHiddenContextItem) and item.id.startswith(f"{_PREFIX}_")


def read_held_calls(item: ThreadItem) -> HeldCalls | None:
    """Return the calls that an item holds, or None if it holds none that can be read."""
    if not isinstance(item, SDKHiddenContextItem) or not is_held_calls(item):
        return None
    try:
        content = _Content.model_validate_json(item.content or "")
    except ValidationError:
        return None
    return HeldCalls(item.id, content.behind, content.calls) if content.calls else None
