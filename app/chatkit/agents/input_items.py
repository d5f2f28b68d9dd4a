"""Input items in the one form in which a model is told them, now and in every later turn.

A response that goes on is sent back by the Agents SDK as the provider wrote it, with ids and states
of its own; from the store it comes without them. Both are brought into the same form here, so that
a request begins with the bytes of the one before, and nothing refers to what a provider may have
forgotten.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from agents import TResponseInputItem
from pydantic import BaseModel

from app.chatkit.agents.fences import escape_hidden_marks

Item = dict[str, Any]

CALL_TYPES = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
"""Calls of tools that run here, with the type of what they return."""
OUTPUT_TYPES = frozenset(CALL_TYPES.values())

NO_OUTPUT = "(This call has returned nothing.)"
CUT_OFF = "(The answer ended before this call had returned.)"
NOT_ANSWERED = "(The user has gone on without answering this call.)"

MIN_BASE64 = 1000
"""Characters from which on something is taken for a file in base64."""
MAX_DATA_URL_HEAD = 320
_BASE64 = re.compile(
    r"[A-Za-z0-9+/_-]{60,}(?:(?:\\n|\r?\n)[A-Za-z0-9+/_-]{60,})*(?:(?:\\n|\r?\n)[A-Za-z0-9+/_-]+)?={0,2}"
)
_DATA_URL = re.compile(r"data:([\w.+-]{1,100}/[\w.+-]{1,100})[^,\s]{0,100};base64,$")
_IMAGE_URL = re.compile(r"data:image/(png|jpe?g|gif|webp);base64,[A-Za-z0-9+/=\r\n]+")


def to_item(given: Any) -> Item:
    """Return an output item of a response as a dict, without what it leaves out."""
    if isinstance(given, BaseModel):
        dumped = given.model_dump(exclude_unset=True, exclude_none=True, warnings=False)
        provider_data = getattr(given, "provider_data", None)
        return dumped | ({"provider_data": provider_data} if provider_data else {})
    return {name: value for name, value in cast("Item", given).items() if value is not None}


# --- one form ------------------------------------------------------------------------------------


def to_plain_items(items: Iterable[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return items in their one form.

    What a model wrote in one go is left as it is where it refers to what only the provider holds:
    to reasoning by its id alone, or to the tools that it ran.
    """
    result: list[Item] = []
    written: list[Item] = []
    for each in cast("Iterable[Item]", items):
        if _is_written(each):
            written.append(each)
            continue
        result.extend(_to_plain_group(written))
        written = []
        result.append(to_plain_item(each))
    result.extend(_to_plain_group(written))
    return cast("list[TResponseInputItem]", result)


def _is_written(item: Item) -> bool:
    """Return whether the model wrote an item, rather than the user or a tool that runs here."""
    kind = item.get("type", "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return not (kind.endswith("_output") or kind == "item_reference")


def _to_plain_group(written: list[Item]) -> list[Item]:
    known = ("message", "reasoning", *CALL_TYPES)
    is_known = all(each.get("type", "message") in known for each in written)
    if not is_known or any(is_kept_elsewhere(each) for each in written):
        return written
    return [to_plain_item(each) for each in written]


def is_kept_elsewhere(item: Item) -> bool:
    """Return whether an item is reasoning that only its provider holds, for a while."""
    if item.get("type") != "reasoning" or item.get("provider_data"):
        return False
    return not (item.get("encrypted_content") or item.get("content"))


def to_plain_item(item: Item) -> Item:
    """Return an item without ids and states that only its provider knows.

    Nothing in it may look like a note in confidence: it stands beside those.
    """
    match item.get("type", "message"):
        case "message" if item.get("role") == "assistant":
            return _to_plain_message(item)
        case "reasoning":
            # Servers that hold nothing tell reasoning by its id; for others, the content is enough.
            dropped = {"id", "status"} if item.get("encrypted_content") else {"status"}
        case "function_call" | "custom_tool_call":
            dropped = {"id", "status"}
        case "function_call_output" | "custom_tool_call_output":
            dropped = {"id", "status"}
        case _:
            return item
    return escape_hidden_marks(_without(item, dropped))


def _to_plain_message(item: Item) -> Item:
    """Return a message of the assistant as its text."""
    content = item.get("content")
    if isinstance(content, list):
        parts = cast("list[Item]", content)
        texts = (str(part.get("text") or part.get("refusal") or "") for part in parts)
        content = "\n".join(text for text in texts if text)
    plain: Item = {"type": "message", "role": "assistant", "content": content}
    if phase := item.get("phase"):
        plain["phase"] = phase
    return escape_hidden_marks(plain)


def _without(item: Item, names: set[str]) -> Item:
    plain = {key: value for key, value in item.items() if key not in names and value is not None}
    data = plain.get("provider_data")
    if isinstance(data, dict):
        # The id of the response that it came with is different each time, and nobody wants it.
        known = cast("Item", data)
        plain["provider_data"] = {k: v for k, v in known.items() if k != "response_id"}
    return plain


# --- calls and their outputs ---------------------------------------------------------------------


def pair_calls(items: Iterable[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return items in which each call is followed by its output, ahead of what the user says next.

    A call without an output gets one that says so; an output without a call is left out.
    """
    given = cast("list[Item]", list(items))
    result: list[Item] = []
    waiting: dict[str, Item] = {}
    taken: set[int] = set()

    def answer(start: int) -> None:
        for call_id, call in waiting.items():
            place = _find_output(given, call, start, taken)
            taken.update(() if place is None else (place,))
            found = None if place is None else given[place]
            result.append(found or create_output(call_id, NO_OUTPUT, call))
        waiting.clear()

    for place, item in enumerate(given):
        kind, call_id = item.get("type", "message"), str(item.get("call_id"))
        if kind in OUTPUT_TYPES:
            if place not in taken and waiting.pop(call_id, None) is not None:
                result.append(item)
            continue
        if waiting and (call_id in waiting or not _is_written(item)):
            answer(place)
        if kind in CALL_TYPES:
            waiting[call_id] = item
        result.append(item)
    answer(len(given))
    return cast("list[TResponseInputItem]", result)


def _find_output(items: Sequence[Item], call: Item, start: int, taken: set[int]) -> int | None:
    """Return where the output of a call is, before another call has its id."""
    for place in range(start, len(items)):
        item = items[place]
        if item.get("call_id") != call.get("call_id") or place in taken:
            continue
        return place if item.get("type") in OUTPUT_TYPES else None
    return None


def create_output(call_id: str, output: Any, call: Item) -> Item:
    """Return what a call of that type returned."""
    kind = CALL_TYPES.get(str(call.get("type")), "function_call_output")
    return {"type": kind, "call_id": call_id, "output": output}


# --- what tools return ---------------------------------------------------------------------------


def to_output_text(output: Any) -> str:
    """Return an output as later turns are told it: in words, without the bytes of any file."""
    if isinstance(output, list):
        return "\n".join(_describe_parts(cast("list[Any]", output)))
    text = output if isinstance(output, str) else json.dumps(output, default=str)
    return leave_base64_out(text)


def _describe_parts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        fields = cast("Item", part) if isinstance(part, dict) else {}
        match fields.get("type"):
            case "input_text" | "output_text" | "text":
                yield leave_base64_out(str(fields.get("text") or ""))
            case "input_image":
                yield _describe_file("image", fields.get("image_url"), fields.get("file_id"))
            case "input_file":
                name = fields.get("filename")
                what = f"file {json.dumps(name, ensure_ascii=False)}" if name else "file"
                yield _describe_file(what, fields.get("file_url"), fields.get("file_id"))
            case _:
                yield leave_base64_out(json.dumps(part, default=str))


def _describe_file(what: str, url: Any, file_id: Any) -> str:
    where = url if isinstance(url, str) and url.startswith(("https://", "http://")) else file_id
    return f"({what} that you were given here{f': {where}' if where else ''})"


def leave_base64_out(text: str) -> str:
    """Return ``text`` with a note in the place of each file in it that is in base64."""
    kept: list[str] = []
    start = 0
    for match in _BASE64.finditer(text):
        if match.end() - match.start() < MIN_BASE64:
            continue
        head = text[max(start, match.start() - MAX_DATA_URL_HEAD) : match.start()]
        url = _DATA_URL.search(head)
        before = match.start() - (len(head) - url.start() if url else 0)
        kind = url[1] if url else "data"
        kept += [text[start:before], f"({kind} of {len(match[0])} characters, left out)"]
        start = match.end()
    return "".join([*kept, text[start:]])


def read_image(output: Any) -> Item | None:
    """Return the image that an output is, where a tool returned nothing but its data URL."""
    if isinstance(output, str) and output.startswith("data:image/"):
        url = output.strip()
        if _IMAGE_URL.fullmatch(url):
            return {"type": "input_image", "detail": "auto", "image_url": url}
    return None
