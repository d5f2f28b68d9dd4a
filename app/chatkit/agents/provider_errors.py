"""What a provider's failure means to the person who waits for the answer.

Provider messages are never shown: they name keys, accounts and deployments.
"""

import json
from collections.abc import Mapping
from enum import StrEnum

import httpx
import httpx2
import openai
from agents.exceptions import (
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    ModelTimeoutError,
    ToolTimeoutError,
)

from app.chatkit.errors import CustomStreamError
from app.chatkit.untyped import get_field, get_text


class ProviderErrorKind(StrEnum):
    """Why a provider did not answer, as far as a user can do something about it."""

    RATE_LIMIT = "rate_limit"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTER = "content_filter"
    IMAGE_REFUSED = "image_refused"
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
    Kind.IMAGE_REFUSED: "One of the images could not be processed. Please try another one.",
    Kind.TIMEOUT: "The model took too long to answer. Please try again.",
    Kind.CONNECTION: "The model could not be reached. Please try again.",
    Kind.SERVER_ERROR: "The model had a problem on its side. Please try again.",
    Kind.MISCONFIGURED: "The assistant is not available right now.",
    Kind.TOO_MANY_STEPS: "The assistant needed too many steps and stopped before an answer.",
    Kind.TOOL_TIMEOUT: "A tool took too long. Please try again.",
}
"""The English texts; pass a mapping of your own to localise them."""

FINAL_KINDS = frozenset(
    {Kind.CONTEXT_TOO_LONG, Kind.CONTENT_FILTER, Kind.IMAGE_REFUSED, Kind.MISCONFIGURED}
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
    kind = _kind_of(code, message) or Kind.SERVER_ERROR
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


def _classify_api_error(error: openai.APIError) -> ProviderErrorKind:
    code = error.code or get_text(get_field(error.body, "innererror"), "code")
    if kind := _kind_of(code, error.message):
        return kind
    match error:
        case openai.RateLimitError():
            return Kind.RATE_LIMIT
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return Kind.MISCONFIGURED
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return Kind.MISCONFIGURED
        case openai.NotFoundError():
            return Kind.MISCONFIGURED
        case openai.APIStatusError(status_code=413):
            return Kind.CONTEXT_TOO_LONG
        case openai.APIStatusError(status_code=408):
            return Kind.TIMEOUT
        case _:
            return Kind.SERVER_ERROR


def _kind_of(code: str | None, message: str | None) -> ProviderErrorKind | None:
    """Return the kind that a provider's code or, for want of one, its message stands for."""
    name = str(code or "").lower()
    if kind := _KINDS_BY_CODE.get(name):
        return kind
    if "image" in name:
        return Kind.IMAGE_REFUSED
    # Compatible servers (vLLM, Ollama, proxies) send a bare 400 with a sentence.
    text = (message or "").lower()
    if "context" in text and any(word in text for word in ("length", "window", "too long")):
        return Kind.CONTEXT_TOO_LONG
    return None
