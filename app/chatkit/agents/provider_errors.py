"""What a provider's failure means to the person who waits for the answer.

Provider messages are never shown: they name keys, accounts and deployments.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import httpx
import httpx2
import openai
from agents.exceptions import MaxTurnsExceeded, ModelBehaviorError

from app.chatkit.agents.refusals import (
    MAX_DEPTH,
    find_setup_fault,
    is_too_long,
    parse_json,
    read_texts,
    refuses_files,
    refuses_images,
)
from app.chatkit.agents.sdk_exceptions import (
    ModelRefusalError,
    ModelTimeoutError,
    ToolTimeoutError,
)
from app.chatkit.errors import CustomStreamError
from app.chatkit.untyped import get_field


class ProviderErrorKind(StrEnum):
    """Why a provider did not answer, as far as a user can do something about it."""

    RATE_LIMIT = "rate_limit"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTER = "content_filter"
    CUT_SHORT = "cut_short"
    IMAGE_REFUSED = "image_refused"
    FILE_REFUSED = "file_refused"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    MISCONFIGURED = "misconfigured"
    TOO_MANY_STEPS = "too_many_steps"
    TOOL_TIMEOUT = "tool_timeout"


Kind = ProviderErrorKind

ERROR_TEXTS: Mapping[ProviderErrorKind, str] = {
    Kind.RATE_LIMIT: "Too many requests right now. Please try again in a moment.",
    Kind.CONTEXT_TOO_LONG: (
        "This conversation has become too long for the model. Please start a new one."
    ),
    Kind.CONTENT_FILTER: "The content filter stopped this answer. Please rephrase your message.",
    Kind.CUT_SHORT: (
        "The model reached the length it may have before it gave an answer. Please try again, or "
        "ask for less."
    ),
    Kind.IMAGE_REFUSED: "One of the images could not be processed. Please try another one.",
    Kind.FILE_REFUSED: "One of the files could not be processed. Please try another one.",
    Kind.TIMEOUT: "The model took too long to answer. Please try again.",
    Kind.CONNECTION: "The model could not be reached. Please try again.",
    Kind.SERVER_ERROR: "The model had a problem on its side. Please try again.",
    Kind.MISCONFIGURED: "The assistant is not available right now.",
    Kind.TOO_MANY_STEPS: "The assistant needed too many steps and stopped before an answer.",
    Kind.TOOL_TIMEOUT: "A tool took too long. Please try again.",
}
"""The English texts; pass a mapping of your own to localise them."""

FINAL_KINDS = frozenset(
    {
        Kind.CONTEXT_TOO_LONG,
        Kind.CONTENT_FILTER,
        Kind.IMAGE_REFUSED,
        Kind.FILE_REFUSED,
        Kind.MISCONFIGURED,
    }
)
"""Failures that the same request would run into again: no retry is offered."""

_KINDS_BY_CODE: dict[str, ProviderErrorKind] = {
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "too_many_requests": Kind.RATE_LIMIT,
    "insufficient_quota": Kind.MISCONFIGURED,
    "billing_hard_limit_reached": Kind.MISCONFIGURED,
    "invalid_api_key": Kind.MISCONFIGURED,
    "model_not_found": Kind.MISCONFIGURED,
    "context_length_exceeded": Kind.CONTEXT_TOO_LONG,
    "string_above_max_length": Kind.CONTEXT_TOO_LONG,
    "content_filter": Kind.CONTENT_FILTER,
    "content_policy_violation": Kind.CONTENT_FILTER,
    "responsibleaipolicyviolation": Kind.CONTENT_FILTER,
    "invalid_prompt": Kind.CONTENT_FILTER,
    "bio_policy": Kind.CONTENT_FILTER,
    "misalignment_policy_violation": Kind.CONTENT_FILTER,
    "image_content_policy_violation": Kind.CONTENT_FILTER,
    "vector_store_timeout": Kind.TIMEOUT,
    "timeout": Kind.TIMEOUT,
    "server_error": Kind.SERVER_ERROR,
}

_KINDS_BY_STATUS: dict[int, ProviderErrorKind] = {
    408: Kind.TIMEOUT,
    409: Kind.SERVER_ERROR,
    413: Kind.CONTEXT_TOO_LONG,
    425: Kind.SERVER_ERROR,
    429: Kind.RATE_LIMIT,
    504: Kind.TIMEOUT,
}


def describe_provider_error(
    error: BaseException, texts: Mapping[ProviderErrorKind, str] = ERROR_TEXTS
) -> CustomStreamError | None:
    """Return what to tell the user about a failed run, or None for what is no provider's doing.

    Raise the result ``from`` the error, so that the cause reaches the log.
    """
    kind = classify_provider_error(error)
    return None if kind is None else create_provider_error(kind, texts)


def describe_failure(
    code: str | None,
    message: str | None,
    texts: Mapping[ProviderErrorKind, str] = ERROR_TEXTS,
) -> CustomStreamError:
    """Return what to tell the user about a failure that the provider reported in its stream."""
    kind = classify_response(None, {"code": code, "message": message})
    return create_provider_error(kind, texts)


def create_provider_error(
    kind: ProviderErrorKind, texts: Mapping[ProviderErrorKind, str] = ERROR_TEXTS
) -> CustomStreamError:
    """Return the error that tells the user about a failure of ``kind``."""
    message = texts.get(kind) or ERROR_TEXTS[kind]
    return CustomStreamError(message, allow_retry=kind not in FINAL_KINDS)


def classify_provider_error(error: BaseException) -> ProviderErrorKind | None:
    """Return the kind of a failed run, or None for what is no provider's doing."""
    match error:
        case MaxTurnsExceeded():
            return Kind.TOO_MANY_STEPS
        case ToolTimeoutError():
            return Kind.TOOL_TIMEOUT
        case ModelRefusalError() | openai.ContentFilterFinishReasonError():
            return Kind.CONTENT_FILTER
        case (
            ModelTimeoutError()
            | openai.APITimeoutError()
            | httpx.TimeoutException()
            | httpx2.TimeoutException()
        ):
            return Kind.TIMEOUT
        case openai.APIConnectionError() | httpx.TransportError() | httpx2.TransportError():
            return Kind.CONNECTION
        case openai.APIError():
            return _classify_api_error(error)
        case ModelBehaviorError() | json.JSONDecodeError():
            # An answer that is none, as of a proxy's error page.
            return Kind.SERVER_ERROR
        case _:
            return None


@dataclass(frozen=True)
class Refusal:
    """What a provider answered instead of a response: its words in lower case, in one line."""

    kind: ProviderErrorKind
    text: str = ""
    status: int | None = None


def read_refusal(error: BaseException) -> Refusal | None:
    """Return what a failed request was answered, or None for what is no provider's doing."""
    kind = classify_provider_error(error)
    if kind is None:
        return None
    if not isinstance(error, openai.APIError):
        return Refusal(kind)
    return Refusal(kind, read_texts(_read_body(error)), _read_status(error))


def read_failed_event(event: Any) -> Refusal:
    """Return what a provider reports in an event of its stream (``response.failed``, ``error``)."""
    error = get_field(get_field(event, "response"), "error") or get_field(event, "error") or event
    body = {name: get_field(error, name) for name in ("code", "message")}
    return Refusal(classify_response(None, body), read_texts(body))


def classify_response(status: int | None, body: Any) -> ProviderErrorKind:
    """Return the kind of a refusal by its status, if there was one, and its body."""
    if isinstance(body, bytes):
        body = parse_json(body.decode(errors="replace")) or body
    code = _find_code(body)
    if kind := _kind_of(code, read_texts(body)):
        return kind
    if status is None:
        status = int(code) if code.isdigit() else 500
    return _KINDS_BY_STATUS.get(status) or (
        Kind.MISCONFIGURED if 400 <= status < 500 else Kind.SERVER_ERROR
    )


def _classify_api_error(error: openai.APIError) -> ProviderErrorKind:
    return classify_response(_read_status(error), _read_body(error))


def _read_status(error: openai.APIError) -> int | None:
    return error.status_code if isinstance(error, openai.APIStatusError) else None


def _read_body(error: openai.APIError) -> list[Any]:
    return [{"code": error.code}, error.body or error.message]


def _find_code(body: Any, depth: int = 0) -> str:
    """Return the first code in a body; Azure's innermost one says most."""
    if isinstance(body, list) and depth < MAX_DEPTH:
        codes = (_find_code(each, depth + 1) for each in cast("list[Any]", body)[:5])
        return next((code for code in codes if code), "")
    if not isinstance(body, dict) or depth >= MAX_DEPTH:
        return ""
    for name in ("innererror", "error"):
        if code := _find_code(get_field(body, name), depth + 1):
            return code
    given = get_field(body, "code")
    return str(given).lower() if isinstance(given, str | int) else ""


def _kind_of(code: str, text: str) -> ProviderErrorKind | None:
    """Return the kind that a provider's code and words (lower case) stand for, if they do."""
    by_code = _KINDS_BY_CODE.get(code)
    # What asks for too many tokens at once is refused in the name of a rate, and always will be.
    if by_code in (None, Kind.RATE_LIMIT, Kind.SERVER_ERROR) and is_too_long(f"{code} {text}"):
        return Kind.CONTEXT_TOO_LONG
    if by_code not in (None, Kind.SERVER_ERROR):
        return by_code
    if find_setup_fault(text):
        return Kind.MISCONFIGURED
    if "image" in code or refuses_images(text):
        return Kind.IMAGE_REFUSED
    if refuses_files(text):
        return Kind.FILE_REFUSED
    return by_code
