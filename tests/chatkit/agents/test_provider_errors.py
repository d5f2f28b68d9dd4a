"""Provider failures in words for a person."""

import json
from typing import Any

import httpx
import httpx2
import openai
import pytest
from agents import MaxTurnsExceeded, ModelBehaviorError, UserError

from app.chatkit.agents.provider_errors import (
    ERROR_TEXTS,
    ProviderErrorKind,
    describe_failure,
    describe_provider_error,
)
from app.chatkit.agents.sdk_exceptions import ModelTimeoutError, ToolTimeoutError

Kind = ProviderErrorKind
REQUEST = httpx.Request("POST", "https://provider.example/v1/responses")
SECRET = "The request of sk-secret, organization org-secret, did not succeed"


def api_error(
    kind: type[openai.APIStatusError], status: int, code: str | None = None, message: str = SECRET
) -> openai.APIStatusError:
    response = httpx.Response(status, request=REQUEST)
    return kind(message, response=response, body={"code": code, "message": message})


@pytest.mark.parametrize(
    ("error", "kind", "allow_retry"),
    [
        (api_error(openai.RateLimitError, 429), Kind.RATE_LIMIT, True),
        (
            api_error(openai.RateLimitError, 429, "insufficient_quota"),
            Kind.MISCONFIGURED,
            False,
        ),
        (openai.APITimeoutError(request=REQUEST), Kind.TIMEOUT, True),
        (openai.APIConnectionError(request=REQUEST), Kind.CONNECTION, True),
        (httpx.ReadTimeout("slow"), Kind.TIMEOUT, True),
        (httpx.RemoteProtocolError("cut"), Kind.CONNECTION, True),
        (httpx2.ReadTimeout("slow"), Kind.TIMEOUT, True),
        (httpx2.RemoteProtocolError("cut"), Kind.CONNECTION, True),
        (
            api_error(openai.BadRequestError, 400, "context_length_exceeded"),
            Kind.CONTEXT_TOO_LONG,
            False,
        ),
        (
            api_error(
                openai.BadRequestError, 400, None, "This model's maximum context length is 8192"
            ),
            Kind.CONTEXT_TOO_LONG,
            False,
        ),
        (api_error(openai.BadRequestError, 400, "content_filter"), Kind.CONTENT_FILTER, False),
        (api_error(openai.BadRequestError, 400, "invalid_image"), Kind.IMAGE_REFUSED, False),
        (api_error(openai.BadRequestError, 400), Kind.MISCONFIGURED, False),
        (
            api_error(openai.AuthenticationError, 401, "invalid_api_key"),
            Kind.MISCONFIGURED,
            False,
        ),
        (api_error(openai.PermissionDeniedError, 403), Kind.MISCONFIGURED, False),
        (api_error(openai.NotFoundError, 404, "model_not_found"), Kind.MISCONFIGURED, False),
        (api_error(openai.APIStatusError, 413), Kind.CONTEXT_TOO_LONG, False),
        (api_error(openai.InternalServerError, 503), Kind.SERVER_ERROR, True),
        (openai.APIError(SECRET, REQUEST, body=None), Kind.SERVER_ERROR, True),
        (
            openai.APIError(SECRET, REQUEST, body={"code": "rate_limit_exceeded"}),
            Kind.RATE_LIMIT,
            True,
        ),
        (ModelBehaviorError(SECRET), Kind.SERVER_ERROR, True),
        (json.JSONDecodeError("Expecting value", "<html>", 0), Kind.SERVER_ERROR, True),
        (MaxTurnsExceeded("Max turns (10) exceeded"), Kind.TOO_MANY_STEPS, True),
        (ModelTimeoutError(30), Kind.TIMEOUT, True),
        (ToolTimeoutError("tool", 30), Kind.TOOL_TIMEOUT, True),
    ],
)
def test_error_is_told_in_plain_words_when_a_provider_fails(
    error: Exception, kind: ProviderErrorKind, allow_retry: bool
) -> None:
    described = describe_provider_error(error)
    assert described is not None
    assert (described.message, described.allow_retry) == (ERROR_TEXTS[kind], allow_retry)


@pytest.mark.parametrize("error", [ValueError("x"), UserError("x")])
def test_error_is_left_alone_when_it_is_no_providers(error: Exception) -> None:
    assert describe_provider_error(error) is None


def test_texts_hold_no_details_when_a_provider_names_them() -> None:
    assert all("secret" not in words for words in ERROR_TEXTS.values())
    assert set(ERROR_TEXTS) == set(ProviderErrorKind)


@pytest.mark.parametrize("code", [None, "", "no_such_code", 7])
def test_failure_is_the_servers_when_its_code_is_unknown(code: Any) -> None:
    assert describe_failure(code, None).message == ERROR_TEXTS[Kind.SERVER_ERROR]


def test_texts_are_the_callers_when_given() -> None:
    texts = {Kind.TIMEOUT: "Zu langsam."}
    described = describe_provider_error(openai.APITimeoutError(request=REQUEST), texts)
    assert described is not None
    assert described.message == "Zu langsam."
    fallback = describe_failure("server_error", None, texts)
    assert fallback.message == ERROR_TEXTS[Kind.SERVER_ERROR]
