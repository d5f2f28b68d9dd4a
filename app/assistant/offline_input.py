"""What the offline model reads out of its input: the same list of items that a provider gets."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agents import TResponseInputItem

NOTE_LEAD = "A note for you, which the user does not see:\n<HiddenContext>"
NOTE_END = "</HiddenContext>"
QUESTIONS_LEAD = "The user was asked these questions; the form's status is "

CONTEXT_LEADS = (
    QUESTIONS_LEAD,
    "The user was shown this widget (id: ",
    "The user was shown this step:\n<Task>",
    "The user refers to this passage:\n<Quote>",
    "This image was generated for the user:",
    "An image was generated for the user here;",
    NOTE_LEAD,
    "What the @-mentions in this message stand for.",
)
"""How the messages begin that the converter writes in the user's role, but not in their words."""


@dataclass(frozen=True)
class ToolResult:
    """What a tool of this turn returned."""

    name: str
    output: str


@dataclass
class Conversation:
    """The input in short. All but ``user_texts`` is what came since the last user message.

    ``note`` is the latest hidden one, if nothing else came after it.
    """

    user_texts: list[str] = field(default_factory=list[str])
    results: list[ToolResult] = field(default_factory=list[ToolResult])
    answers: str | None = None
    note: str | None = None
    words: int = 0

    @property
    def last_text(self) -> str:
        """What the user wrote last."""
        return self.user_texts[-1] if self.user_texts else ""


def read_conversation(model_input: str | list[TResponseInputItem]) -> Conversation:
    """Return what the offline model understands of ``model_input``."""
    if isinstance(model_input, str):
        return Conversation([model_input], words=len(model_input.split()))
    conversation = Conversation()
    tool_names: dict[str, str] = {}
    for item in model_input:
        _read_item(cast(Mapping[str, Any], item), conversation, tool_names)
    return conversation


def _read_item(
    item: Mapping[str, Any], conversation: Conversation, tool_names: dict[str, str]
) -> None:
    kind = item.get("type", "message")
    if kind == "function_call":
        tool_names[item["call_id"]] = item["name"]
    elif kind == "function_call_output":
        name = tool_names.get(item["call_id"], "a tool")
        conversation.results.append(ToolResult(name, _plain(item["output"])))
    elif kind == "message":
        text = "".join(_texts(item.get("content")))
        conversation.words += len(text.split())
        if item.get("role") == "user":
            _read_user_message(text, conversation)


def _read_user_message(text: str, conversation: Conversation) -> None:
    if text.startswith((f"{QUESTIONS_LEAD}answered", f"{QUESTIONS_LEAD}skipped")):
        conversation.answers = "\n".join(
            line for line in text.splitlines() if line.startswith("- ")
        )
        conversation.note = None
    elif text.startswith(NOTE_LEAD):
        conversation.note = text.removeprefix(NOTE_LEAD).partition(NOTE_END)[0].strip()
        conversation.results.clear()
    elif not text.startswith(CONTEXT_LEADS):
        conversation.user_texts.append(text)
        conversation.results.clear()
        conversation.answers = conversation.note = None


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in cast(list[Any], content) if isinstance(content, list) else []:
        if isinstance(part, Mapping) and isinstance(
            text := cast(Mapping[str, Any], part).get("text"), str
        ):
            yield text


def _plain(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
