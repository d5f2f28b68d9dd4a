"""Messages of Chat Completions as strict servers take them.

Many templates refuse two messages of one role in a row, a message of the user right behind the
output of a tool, or a conversation that the assistant begins; many servers refuse text in parts.
"""

from collections.abc import Iterable
from typing import Any, cast

from app.chatkit.agents.input_items import OUTPUT_TYPES, Item, read_image
from app.providers.surrogates import join_surrogates

BEGINNING = "(The conversation begins.)"
"""What the user is taken to have said where the assistant speaks first."""
NO_ANSWER = "(No answer was given here.)"
"""What the assistant is taken to have said between the output of a tool and the user."""

CAME_WITH = "chatkit_came_with"
"""The option of a request under which the client gets what came with calls."""

_REASONING_FIELD = "_chat_completions_reasoning_field"
"""Where the Agents SDK notes a field that it gives back by itself."""

Message = dict[str, Any]


def to_strict_messages(messages: Iterable[Any]) -> list[Message]:
    """Return messages in which roles take turns, with text as text where it is nothing else."""
    strict: list[Message] = []
    for each in cast("Iterable[Message]", messages):
        message = each | {"content": _join_text(each.get("content"))}
        role = message.get("role")
        last = strict[-1] if strict else None
        before = last.get("role") if last else None
        if last is not None and before == role and _can_be_joined(last):
            strict[-1] = _join(last, message)
            continue
        if role == "assistant" and before in (None, "system", "developer"):
            strict.append({"role": "user", "content": BEGINNING})
        elif role == "user" and before == "tool":
            strict.append({"role": "assistant", "content": NO_ANSWER})
        strict.append(message)
    return strict


def _can_be_joined(message: Message) -> bool:
    return message.get("role") != "tool" and not message.get("tool_calls")


def _join(first: Message, second: Message) -> Message:
    """Return two messages of one role as one; calls are those of the second."""
    content, more = first.get("content"), second.get("content")
    if isinstance(content, list) or isinstance(more, list):
        content = [*_to_parts(content), *_to_parts(more)]
    else:
        content = "\n\n".join(each for each in (content, more) if each) or None
    return first | second | {"content": content}


def _to_parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return cast("list[Any]", content)
    return [{"type": "text", "text": content}] if content else []


def _join_text(content: Any) -> Any:
    """Return content as one text, where it is parts of text alone."""
    if not isinstance(content, list):
        return content
    parts = cast("list[Message]", content)
    if any(part.get("type") != "text" or len(part) > 2 for part in parts):
        return parts
    return "\n\n".join(str(part.get("text")) for part in parts)


# --- what tools return ---------------------------------------------------------------------------


def show_tool_files(items: Iterable[Item]) -> list[Item]:
    """Return items in which what tools returned is text, with images and files shown behind it.

    A message of a tool holds nothing but text; the user's may hold more.
    """
    shown: list[Item] = []
    files: list[Item] = []
    for item in items:
        is_output = item.get("type") in OUTPUT_TYPES
        if files and not is_output:
            shown.append(_show(files))
            files = []
        if is_output and isinstance(item.get("output"), list):
            parts = cast("list[Item]", item["output"])
            texts = [str(part["text"]) for part in parts if isinstance(part.get("text"), str)]
            given = [part for part in parts if part.get("type") in ("input_image", "input_file")]
            files += given
            note = ["(What it returned is shown below.)"] if given else []
            item = item | {"output": "\n".join([*texts, *note])}
        shown.append(item)
    return [*shown, _show(files)] if files else shown


def _show(files: list[Item]) -> Item:
    lead: Item = {"type": "input_text", "text": "This is what the tool returned:"}
    return {"type": "message", "role": "user", "content": [lead, *files]}


def read_tool_images(items: Iterable[Item]) -> list[Item]:
    """Return items in which a data URL that a tool returned is the image that it holds."""
    read: list[Item] = []
    for item in items:
        image = read_image(item.get("output")) if item.get("type") in OUTPUT_TYPES else None
        read.append(item if image is None else item | {"output": [image]})
    return read


# --- what a provider wants back ------------------------------------------------------------------


def find_came_with(items: Iterable[Item], model: str, *, reasoning: bool) -> dict[str, Item]:
    """Return what came with the calls of a model, by their ids: it wants that back.

    Gemini refuses a call without its signature, DeepSeek and Kimi one without what they thought.
    """
    found: dict[str, Item] = {}
    thought = ""
    for item in items:
        kind = item.get("type", "message")
        data = cast("Item", item.get("provider_data") or {})
        if kind == "reasoning":
            is_own = data.get("model") == model and _REASONING_FIELD not in data
            thought = _read_summary(item) if is_own and reasoning else ""
        elif kind == "function_call":
            entry: Item = {"reasoning_content": thought} if thought else {}
            if data.get("model") == model and (signature := data.get("thought_signature")):
                entry["extra_content"] = {"google": {"thought_signature": signature}}
            if entry:
                found[str(item.get("call_id"))] = entry
        elif not (kind == "message" and item.get("role") == "assistant"):
            thought = ""
    return found


def _read_summary(item: Item) -> str:
    parts = cast("list[Item]", item.get("summary") or [])
    return "\n".join(str(part.get("text")) for part in parts if part.get("text"))


def give_back(messages: list[Message], came_with: dict[str, Item]) -> None:
    """Put what came with calls back where it was."""
    for message in messages if came_with else ():
        calls = cast("list[Item]", message.get("tool_calls") or [])
        for place, call in enumerate(calls):
            entry = came_with.get(str(call.get("id")), {})
            if thought := entry.get("reasoning_content"):
                message["reasoning_content"] = (
                    join_surrogates(thought) if isinstance(thought, str) else thought
                )
            if extra := entry.get("extra_content"):
                calls[place] = call | {"extra_content": extra}


# --- the client ----------------------------------------------------------------------------------


class StrictChatClient:
    """What the Agents SDK asks of a client of Chat Completions, with messages made strict."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.chat = self
        self.completions = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def with_options(self, **options: Any) -> "StrictChatClient":
        """Return a client with other options."""
        return StrictChatClient(self._client.with_options(**options))

    async def create(self, *, messages: Iterable[Any], **options: Any) -> Any:
        """Send a request; ``CAME_WITH`` is what goes back along with calls."""
        strict = to_strict_messages(messages)
        give_back(strict, options.pop(CAME_WITH, None) or {})
        return await self._client.chat.completions.create(messages=strict, **options)
