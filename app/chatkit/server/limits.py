"""How much one request may bring in, so that nothing a client sends is work without end.

A body is bounded as a whole by whoever reads it; this is about what is kept of it, shown again with
every page, and told to a model.
"""

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from app.chatkit.errors import InvalidRequestError, NotFoundError
from app.chatkit.protocol.items import UserMessageInput
from app.chatkit.protocol.requests import (
    AttachmentsCreateReq,
    ChatKitReq,
    InputTranscribeReq,
    ItemsFeedbackReq,
    StructuredInputSubmission,
    ThreadsAddClientToolOutputReq,
    ThreadsAddStructuredInputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsSyncCustomActionReq,
    ThreadsUpdateReq,
)
from app.chatkit.protocol.serialization import dump_value

MAX_VALUES = 100_000
"""Values in the JSON of a request: to make a million of them takes half a second."""
_STRUCTURE = b",[{:"
# The rest of a body that ends within a text counts as one, too: it is refused anyway.
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)

MAX_ID = 512
"""Of an id, in characters; cursors of a store's own may be longer (``MAX_CURSOR``)."""
MAX_CURSOR = 4096
MAX_SHOWN = 64
"""How much of an id an error repeats."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request may bring in: texts in characters, free-form data in bytes of its JSON.

    ``message_chars`` is for the text of a message with its mentions, and again for its quote, and
    for the answers to a form; ``mention_bytes`` for the data of all mentions of a message.
    """

    message_chars: int = 200_000
    message_parts: int = 100
    mention_bytes: int = 64 * 1024
    attachments: int = 100
    title_chars: int = 500
    action_bytes: int = 256 * 1024
    tool_output_bytes: int = 1024 * 1024
    items: int = 1000


def check_size(body: bytes) -> None:
    """Raise ``InvalidRequestError`` for JSON with more values than ``MAX_VALUES``."""
    if _count_values(body) > MAX_VALUES and _count_values(_TEXT.sub(b"", body)) > MAX_VALUES:
        raise InvalidRequestError(f"The request holds more than {MAX_VALUES} values")


def _count_values(body: bytes) -> int:
    return sum(body.count(each) for each in _STRUCTURE)


def check_limits(request: ChatKitReq, limits: RequestLimits) -> None:
    """Raise ``InvalidRequestError`` that names the field which is too large."""
    _check_ids(request)
    match request:
        case ThreadsCreateReq() | ThreadsAddUserMessageReq():
            _check_message(request.params.input, limits)
        case ThreadsUpdateReq():
            _check_chars("params.title", request.params.title, limits.title_chars)
        case ThreadsCustomActionReq() | ThreadsSyncCustomActionReq():
            _check_bytes(
                "params.action.payload", request.params.action.payload, limits.action_bytes
            )
        case ThreadsAddClientToolOutputReq():
            _check_bytes("params.result", request.params.result, limits.tool_output_bytes)
        case ThreadsAddStructuredInputReq():
            _check_answers(request.params.input, limits)
        case ItemsFeedbackReq():
            _check_count("params.item_ids", request.params.item_ids, limits.items)
        case InputTranscribeReq():
            _check_chars("params.mime_type", request.params.mime_type, MAX_ID)
        case AttachmentsCreateReq():
            _check_chars("params.name", request.params.name, MAX_CURSOR)
            _check_chars("params.mime_type", request.params.mime_type, MAX_ID)
        case _:
            pass


def _check_ids(request: ChatKitReq) -> None:
    """Raise ``NotFoundError`` for an id that nothing can have: nobody need look for it."""
    named: list[str | None] = [
        getattr(request.params, name, None) for name in ("thread_id", "item_id", "attachment_id")
    ]
    match request:
        case ThreadsCreateReq() | ThreadsAddUserMessageReq():
            named += request.params.input.attachments
        case ItemsFeedbackReq():
            named += request.params.item_ids
        case _:
            pass
    after = getattr(request.params, "after", None)
    for each, most in [*((each, MAX_ID) for each in named), (after, MAX_CURSOR)]:
        if each is not None and len(each) > most:
            raise NotFoundError(f"{each[:MAX_SHOWN]}… not found")


def _check_message(message: UserMessageInput, limits: RequestLimits) -> None:
    field = "params.input.content"
    _check_count(field, message.content, limits.message_parts)
    chars = data_bytes = 0
    for place, part in enumerate(message.content):
        chars += len(part.text)
        if chars > limits.message_chars:
            _refuse(f"{field}.{place}.text", "the message", limits.message_chars, "characters")
        if part.type == "input_tag":
            _check_chars(f"{field}.{place}.id", part.id, MAX_ID)
            _check_chars(f"{field}.{place}.group", part.group, MAX_ID)
            data_bytes += len(dump_value(part.data)) if part.data else 0
            if data_bytes > limits.mention_bytes:
                what = "the data of all mentions"
                _refuse(f"{field}.{place}.data", what, limits.mention_bytes, "bytes")
    _check_chars("params.input.quoted_text", message.quoted_text, limits.message_chars)
    _check_count("params.input.attachments", message.attachments, limits.attachments)
    options = message.inference_options
    _check_chars("params.input.inference_options.model", options.model, MAX_ID)
    if options.tool_choice is not None:
        choice = options.tool_choice.id
        _check_chars("params.input.inference_options.tool_choice.id", choice, MAX_ID)


def _check_answers(submission: StructuredInputSubmission, limits: RequestLimits) -> None:
    field = "params.input.answers"
    _check_count(field, submission.answers, limits.items)
    chars = 0
    for question, answer in submission.answers.items():
        _check_chars(field, question, MAX_ID)
        _check_count(f"{field}.{question}.values", answer.values, limits.items)
        chars += sum(map(len, answer.values))
        if chars > limits.message_chars:
            what = "the text of all answers"
            _refuse(f"{field}.{question}.values", what, limits.message_chars, "characters")


def _check_chars(field: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        _refuse(field, "it", most, "characters")


def _check_bytes(field: str, value: Any, most: int) -> None:
    if value is not None and len(dump_value(value)) > most:
        _refuse(field, "it", most, "bytes of JSON")


def _check_count(field: str, values: list[Any] | dict[str, Any], most: int) -> None:
    if len(values) > most:
        _refuse(field, "it", most, "elements")


def _refuse(field: str, what: str, most: int, unit: str) -> NoReturn:
    raise InvalidRequestError(f"{field}: {what} has more than {most} {unit}", field=field)
