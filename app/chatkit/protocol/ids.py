"""Identifiers: an official prefix and a full UUIDv7, so that ids sort by creation time."""

import os
import threading
import time
from typing import Literal

from app.chatkit.old_names import warn_of_old_name

StoreItemType = Literal[
    "thread",
    "message",
    "tool_call",
    "task",
    "workflow",
    "attachment",
    "sdk_hidden_context",
]
"""Kinds of things that a store hands out ids for (names as in ``chatkit.store``)."""

ID_PREFIXES: dict[StoreItemType, str] = {
    "thread": "thr",
    "message": "msg",
    "tool_call": "tc",
    "workflow": "wf",
    "task": "tsk",
    "attachment": "atc",
    "sdk_hidden_context": "shcx",
}

_lock = threading.Lock()
_last_stamp = 0


def uuid7_hex() -> str:
    """Return a UUIDv7 (RFC 9562) as 32 hex digits, strictly increasing within this process.

    The 48-bit millisecond clock is followed by 12 bits of sub-millisecond time; both together are
    moved on by one where the clock stood still. The remaining 62 bits are random.
    """
    global _last_stamp
    millis, nanos = divmod(time.time_ns(), 1_000_000)
    stamp = millis << 12 | nanos * 4096 // 1_000_000
    with _lock:
        stamp = max(stamp, _last_stamp + 1)
        _last_stamp = stamp
    high = (stamp >> 12 & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | stamp & 0xFFF
    low = 0x8000_0000_0000_0000 | int.from_bytes(os.urandom(8)) >> 2
    return f"{high:016x}{low:016x}"


def create_id(prefix: str) -> str:
    """Return ``<prefix>_<uuid7>``."""
    return f"{prefix}_{uuid7_hex()}"


def default_generate_id(item_type: StoreItemType) -> str:
    """Return a new id for ``item_type`` with the official prefix."""
    prefix = ID_PREFIXES.get(item_type)
    if prefix is None:
        kinds = {each: kind for kind, each in ID_PREFIXES.items()}
        prefix, kind = str(item_type), kinds[item_type]  # older guides name the prefix
        warn_of_old_name(f'the item type "{prefix}"', f'"{kind}"')
    return create_id(prefix)
