"""Open models whose servers leave in the text what their templates make of thinking.

Texts, since it is all the same over which API they come; ``script`` makes one of them a script.
"""

from dataclasses import dataclass

from tests.providers.scripts import (
    Api,
    Script,
    added,
    chat,
    finished,
    message,
    responses,
    text_delta,
)


@dataclass(frozen=True)
class Said:
    """What a model said, and where that was seen."""

    report: str
    text: str


THINK_TAGS = Said("danny-avila/LibreChat#13360", "<think>\nThey greet me.\n</think>\n\nHello.")
TAG_NEVER_OPENED = Said("QwenLM/qwen-code#6007", "They greet me.\n</think>\n\nHello.")
TAGS_IN_CAPITALS = Said("OpenWhispr/openwhispr#1861", "<Think>They greet me.</THINK>Hello.")
CHANNELS = Said(
    "NVIDIA/TensorRT-LLM#9256",
    "<|channel|>analysis<|message|>They greet me.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Hello.<|return|>",
)
CHANNELS_OF_GEMMA = Said("kekzl/imp#768", "<|channel>thought\nThey greet me.\n<channel|>Hello.")
THINKING_TAGS = Said("LibreChat-AI/agents#40", "<thinking> They greet me. </thinking> Hello.")

NEVER_CLOSED = Said("bytedance/deer-flow#3217", "<think>They greet me. What now?")
ONLY_COMMENTARY = Said(
    "NVIDIA/TensorRT-LLM#9256", '<|channel|>commentary<|message|>{"path": "/"}<|end|>'
)

TAGS_IN_THE_ANSWER = Said(
    "QwenLM/qwen-code#11188", "<think>They ask.</think>Use </think> to close `<think>`."
)
TAGS_TALKED_ABOUT = Said(
    "QwenLM/qwen-code#11188",
    "The tag `<think>` opens it,\nand </think> closes it:\n```\n<think>\nhm\n</think>\n```\nDone.",
)


def script(*texts: str, api: Api = "chat_completions", size: int = 3, report: str = "") -> Script:
    """Return a script whose answers are ``texts``, in pieces of ``size`` letters."""
    if api == "responses":
        return Script(report, tuple(_to_response(text, size) for text in texts), api)
    return Script(report, tuple(chat(*_split(text, size)) for text in texts))


def _to_response(text: str, size: int):
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return responses(
        added(message("")),
        *map(text_delta, _split(text, size)),
        {"type": "response.output_text.done", "text": text, "logprobs": [], **place},
        finished(message(text)),
        output=[message(text)],
    )


def _split(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
