"""A stream of Chat Completions, made regular before the Agents SDK reads it.

Of a chunk, the SDK expects one choice with number 0, whose delta holds text, reasoning and pieces
of tool calls as OpenAI sends them. What others send instead is put into that form here, one line of
a table per field. How the answer ended is noted on the response that the SDK fills, so that a cut
answer looks as it does with the Responses API.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from functools import partial
from typing import Any, cast

from agents import ModelBehaviorError
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from openai.types.completion_usage import CompletionUsage
from openai.types.responses import Response, ResponseError
from openai.types.responses.response import IncompleteDetails

from app.chatkit.untyped import get_field, get_list, get_text
from app.providers.chat_calls import ChatCalls
from app.providers.chat_endings import read_ending
from app.providers.function_calls import CallIds

_KNOWN_REASONING = ("reasoning_content", "reasoning")
"""Where servers put their reasoning, as far as the SDK reads it; one of them is enough."""
_OTHER_REASONING = ("thinking", "reasoning_text", "thought")
"""Where others put it."""


class ChatStreamNormaliser:
    """Follows the chunks of one response; ``response`` is the one that the SDK fills."""

    def __init__(self, response: Response, model_input: str | Sequence[Any] = ()) -> None:
        self._response = response
        self._choice: int | None = None
        self._calls = ChatCalls(CallIds(model_input))
        self._has_ended = False
        self._has_content = False

    async def read(
        self, stream: AsyncIterable[Any], was_ended: Callable[[], bool]
    ) -> AsyncGenerator[Any]:
        """Yield the chunks of ``stream``; raises ``ModelBehaviorError`` if it breaks off.

        ``was_ended`` tells behind the last chunk whether the server has sent the stream's end.
        """
        async for chunk in stream:
            if self._is_fine(chunk):
                yield chunk
                continue
            for fixed in self.fix(chunk):
                yield fixed
        self._end_without_reason(was_ended())

    def _is_fine(self, chunk: Any) -> bool:
        """Return whether a chunk is one of text or reasoning as the SDK knows it: most are."""
        choices = get_list(chunk, "choices")
        if len(choices) != 1 or get_field(chunk, "usage") is not None:
            return False
        choice = choices[0]
        if type(choice) is not Choice or choice.index != 0 or choice.finish_reason is not None:
            return False
        delta = choice.delta
        if type(delta) is not ChoiceDelta or choice.logprobs is not None:
            return False
        content, extra = delta.content, delta.model_extra
        if content:
            if type(content) is not str:
                return False
            self._has_content = True
        if delta.tool_calls or delta.function_call or delta.refusal:
            return False
        if not extra:
            return True
        (name, value), *others = extra.items()
        return not others and name in _KNOWN_REASONING and (value is None or type(value) is str)

    def fix(self, chunk: Any) -> list[Any]:
        """Return the chunks to pass on for one."""
        if not hasattr(chunk, "choices") and not hasattr(chunk, "usage"):
            return []  # such as null
        usage = get_field(chunk, "usage")
        choices = [each for each in get_list(chunk, "choices") if self._is_ours(each)]
        for choice in choices:
            usage = usage or get_field(choice, "usage")  # Moonshot
        chunk.usage = fix_usage(usage)
        fixed = [self._fix_choice(each) for each in choices]
        if len(fixed) <= 1:
            chunk.choices = fixed
            return [chunk]
        # One at a time, without counting what they cost twice.
        first, *others = fixed
        rest = [chunk.model_copy(update={"choices": [each], "usage": None}) for each in others]
        return [chunk.model_copy(update={"choices": [first]}), *rest]

    def _is_ours(self, choice: Any) -> bool:
        """Return whether a choice is the one that was asked for: the first, whatever its number."""
        index = get_field(choice, "index")
        if choice is None or not isinstance(index, int):
            return choice is not None
        if self._choice is None:
            self._choice = index
        return index == self._choice

    def _fix_choice(self, choice: Any) -> Choice:
        sent = get_field(choice, "delta")
        message = get_field(choice, "message")
        if message is not None and not self._has_content:
            sent = message  # not streamed after all
        self._end(choice)
        logprobs = get_field(choice, "logprobs")
        return Choice.construct(
            index=0,
            delta=self._fix_delta(sent),
            # What the reason means is on the response.
            finish_reason="stop" if get_field(choice, "finish_reason") else None,
            logprobs=logprobs if isinstance(get_field(logprobs, "content"), list) else None,
        )

    def _fix_delta(self, sent: Any) -> ChoiceDelta:
        delta = ChoiceDelta.construct(role="assistant")
        if sent is None or isinstance(sent, str):
            sent = {"content": sent}
        for name, fix in _FIELDS.items():
            fix(delta, get_field(sent, name))
        calls = get_field(sent, "tool_calls")
        entries = get_list(sent, "tool_calls") or ([calls] if isinstance(calls, dict) else [])
        if function := get_field(sent, "function_call"):
            entries = [*entries, {"function": function}]  # as before there were several
        pieces = [self._calls.fix(entry) for entry in entries if entry is not None]
        delta.tool_calls = [piece for piece in pieces if piece is not None] or None
        self._has_content |= bool(delta.content or delta.tool_calls)
        extra = cast("dict[str, Any]", sent if isinstance(sent, dict) else sent.model_extra or {})
        for name, value in extra.items():
            if name not in _READ_FIELDS:
                setattr(delta, name, value)
        return delta

    def _end(self, choice: Any) -> None:
        """Note how the answer ended."""
        reason = get_text(choice, "finish_reason")
        if not reason:
            return
        self._has_ended = True
        ending, response = read_ending(reason), self._response
        if ending == "failed":
            error = get_field(choice, "error")
            response.status = "failed"
            response.error = ResponseError.construct(
                code=str(get_field(error, "code") or "server_error"),
                message=get_text(error, "message") or f"finish_reason: {reason}",
            )
        elif ending != "complete":
            response.status = "incomplete"
            response.incomplete_details = IncompleteDetails(reason=ending)

    def _end_without_reason(self, is_whole: bool) -> None:
        """Judge a stream that has not said how it ended; some servers never do."""
        if self._has_ended:
            return
        if not is_whole or not self._has_content:
            raise ModelBehaviorError("The stream of chunks ended without a finish reason")
        if not self._calls.are_complete:
            self._response.status = "incomplete"


# --- the fields of a delta -----------------------------------------------------------------------


def _set_content(delta: ChoiceDelta, value: Any) -> None:
    if isinstance(value, list):
        parts = cast("list[Any]", value)
        thoughts = "".join(map(_read_thought, parts))
        if thoughts:
            _set_reasoning(delta, thoughts)
        value = "".join(map(_read_text, parts)) or None
    elif value is not None and not isinstance(value, str):
        value = _read_text(value) or None
    delta.content = value


def _set_reasoning(delta: ChoiceDelta, value: Any, name: str = "reasoning_content") -> None:
    if isinstance(value, list):
        value = "".join(map(_read_text, cast("list[Any]", value)))
    elif value is not None and not isinstance(value, str):
        value = _read_text(value)
    if value and not any(get_field(delta, each) for each in _KNOWN_REASONING):
        # Under the name that it came by, if the SDK knows that: it may be sent back under it.
        setattr(delta, name, value)


def _set_refusal(delta: ChoiceDelta, value: Any) -> None:
    delta.refusal = value if isinstance(value, str) and value else None


_FIELDS: dict[str, Callable[[ChoiceDelta, Any], None]] = {
    "reasoning_content": _set_reasoning,
    "reasoning": partial(_set_reasoning, name="reasoning"),
    **dict.fromkeys(_OTHER_REASONING, _set_reasoning),
    "content": _set_content,
    "refusal": _set_refusal,
}
_READ_FIELDS = {*_FIELDS, "role", "tool_calls", "function_call"}


def _read_text(part: Any) -> str:
    """Return the text of a part of a list: a text by itself, or in a field of one."""
    if isinstance(part, str):
        return part
    if get_field(part, "type") in ("thinking", "reasoning"):
        return ""
    return get_text(part, "text") or get_text(part, "content")


def _read_thought(part: Any) -> str:
    """Return the thinking of a part of a list, which may be a list itself (Mistral)."""
    if get_field(part, "type") not in ("thinking", "reasoning"):
        return ""
    for name in ("thinking", "reasoning", "text", "content"):
        inner = get_list(part, name) or [get_text(part, name)]
        if text := "".join(map(_read_text, inner)):
            return text
    return ""


# --- answers that are not streamed ---------------------------------------------------------------


def fix_completion(completion: Any) -> Any:
    """Return a whole completion with a message as the SDK knows it, such as a title's."""
    if not hasattr(completion, "choices"):
        raise ModelBehaviorError("The server's answer is no completion")
    completion.choices = get_list(completion, "choices")
    completion.usage = fix_usage(get_field(completion, "usage"))
    for choice in completion.choices:
        message = get_field(choice, "message")
        content = get_field(message, "content")
        if message is not None and not isinstance(content, str | None):
            fixed = ChoiceDelta.construct()
            _set_content(fixed, content)
            message.content = fixed.content
    return completion


# --- usage ---------------------------------------------------------------------------------------


def fix_usage(usage: Any) -> CompletionUsage | None:
    """Return what a response cost, in whole numbers; None where that is not said."""
    if usage is None or (isinstance(usage, dict) and not usage):
        return None
    prompt, completion = (_count(usage, f"{each}_tokens") for each in ("prompt", "completion"))
    if isinstance(usage, CompletionUsage) and all(
        get_field(usage, f"{name}_tokens") == value
        for name, value in (("prompt", prompt), ("completion", completion))
    ):
        return usage
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
    )


def _count(usage: Any, name: str) -> int:
    try:
        return int(float(get_field(usage, name) or 0))
    except (TypeError, ValueError, OverflowError):
        return 0
