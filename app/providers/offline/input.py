"""What the offline model reads out of its input: the same list of items that a provider gets."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agents import TResponseInputItem

NOTE_LEAD = "A note for you, which the user does not see:\n<HiddenContext>"
NOTE_END = "</HiddenContext>"
QUESTIONS_LEAD = "The user was asked these questions; the form's status is "

NO_OUTPUT = ("None", "null", "")
FILE_LEAD = "The user attached the file "

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
    """The input in short. All but ``user_texts`` is what came with or since the last user message.

    ``files`` says of each attached file what the model was given of it.
    ``note`` is the latest hidden one, if nothing else came after it.
    """

    user_texts: list[str] = field(default_factory=list[str])
    files: list[str] = field(default_factory=list[str])
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
        output = _plain(item["output"])
        # A tool that ends the run with a question has returned nothing yet.
        if output not in NO_OUTPUT:
            conversation.results.append(ToolResult(name, output))
    elif kind == "message":
        texts = list(_texts(item.get("content")))
        conversation.words += sum(len(text.split()) for text in texts)
        if item.get("role") == "user":
            text = "".join(each for each in texts if not each.startswith(FILE_LEAD))
            _read_user_message(text, conversation)
            if not text.startswith(CONTEXT_LEADS):
                conversation.files = list(_files(item.get("content")))


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


def _files(content: Any) -> Iterator[str]:
    for part in cast(list[Mapping[str, Any]], content) if isinstance(content, list) else []:
        text = str(part.get("text", ""))
        match part.get("type"):
            case "input_image":
                yield "an image"
            case "input_file":
                yield f"the document “{part.get('filename')}”"
            case _ if text.startswith(FILE_LEAD):
                note, _, data = text.removeprefix(FILE_LEAD).partition("\n<File>\n")
                name = note.rpartition(" (type ")[0]
                words = len(data.removesuffix("</File>").split())
                yield f"{name} ({words} words)" if data else f"{name} (its name alone)"
            case _:
                pass


def _plain(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
