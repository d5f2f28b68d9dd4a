"""What the model did with tools, kept in the thread so that it need not guess in the next turn.

A finished call is a hidden item at its place in the thread: any store keeps it, no client sees it,
and it goes when what it belongs to goes (a retry, a deleted thread). The converter tells the model
of it as the call and the output that it was.
"""

import json
from typing import Any, cast

from agents import TResponseInputItem
from openai.types.responses import ResponseFunctionToolCallParam
from openai.types.responses.response_input_item_param import FunctionCallOutput

from app.chatkit.protocol.ids import create_id
from app.chatkit.protocol.items import SDKHiddenContextItem, now

TOOL_CALL_PREFIX = "call_"
"""How the ids of remembered calls begin."""

MAX_OUTPUT = 20_000
"""How much of an output later turns are told, in characters."""
MAX_ARGUMENTS = 20_000
"""Longer arguments are left out: truncated JSON would be invalid."""


def remember_tool_call(
    thread_id: str, *, call_id: str, name: str, arguments: str, output: Any
) -> SDKHiddenContextItem:
    """Return the hidden item that remembers a finished call; ``output`` as the model got it."""
    text = output if isinstance(output, str) else json.dumps(output, default=str)
    if len(text) > MAX_OUTPUT:
        text = f"{text[:MAX_OUTPUT]}… ({len(text)} characters, the rest is left out)"
    content = {
        "call_id": call_id,
        "name": name,
        "arguments": arguments if len(arguments) <= MAX_ARGUMENTS else "{}",
        "output": text,
    }
    return SDKHiddenContextItem(
        id=create_id(TOOL_CALL_PREFIX.rstrip("_")),
        thread_id=thread_id,
        created_at=now(),
        content=json.dumps(content, ensure_ascii=False),
    )


def is_tool_call(item: Any) -> bool:
    """Return whether an item remembers a tool call."""
    return isinstance(item, SDKHiddenContextItem) and item.id.startswith(TOOL_CALL_PREFIX)


def read_call_id(item: SDKHiddenContextItem) -> str:
    """Return the id of a remembered call."""
    return str(_read(item).get("call_id", ""))


def tool_call_to_input(item: SDKHiddenContextItem) -> list[TResponseInputItem]:
    """Return a remembered call and its output; nothing for what cannot be read."""
    content = _read(item)
    call_id, name = content.get("call_id"), content.get("name")
    if not call_id or not name:
        return []
    return [
        ResponseFunctionToolCallParam(
            type="function_call",
            call_id=str(call_id),
            name=str(name),
            arguments=str(content.get("arguments") or "{}"),
        ),
        FunctionCallOutput(
            type="function_call_output",
            call_id=str(call_id),
            output=str(content.get("output", "")),
        ),
    ]


def _read(item: SDKHiddenContextItem) -> dict[str, Any]:
    try:
        content: Any = json.loads(item.content or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}
