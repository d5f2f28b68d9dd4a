"""What a provider's refusal says: the wordings of many servers, and those that only look alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.chatkit.agents.provider_errors import ProviderErrorKind, classify_response
from app.chatkit.agents.refusals import (
    SetupFault,
    find_setup_fault,
    is_too_long,
    read_texts,
    refuses_files,
    refuses_images,
)

Kind = ProviderErrorKind

WORDINGS: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "refusal_wordings.json").read_text()
)
TOO_LONG, NOT_TOO_LONG = WORDINGS["too long"], WORDINGS["not too long"]
IMAGES, FILES = WORDINGS["images"], WORDINGS["files"]
SETUP = {fault: WORDINGS[fault] for fault in SetupFault}


@pytest.mark.parametrize("words", TOO_LONG)
def test_too_long_is_understood_in_every_wording(words: str) -> None:
    assert is_too_long(read_texts(words))


@pytest.mark.parametrize("words", [*NOT_TOO_LONG, *IMAGES])
def test_other_refusals_are_not_taken_for_too_long(words: str) -> None:
    assert not is_too_long(read_texts(words))


@pytest.mark.parametrize("words", IMAGES)
def test_refused_image_is_understood_in_every_wording(words: str) -> None:
    assert refuses_images(read_texts(words))


@pytest.mark.parametrize("words", FILES)
def test_refused_file_is_understood_in_every_wording(words: str) -> None:
    assert refuses_files(read_texts(words))


@pytest.mark.parametrize("words", [*TOO_LONG, *NOT_TOO_LONG])
def test_other_refusals_are_not_taken_for_images_and_files(words: str) -> None:
    is_about_images = words.startswith("image ")
    is_about_files = "PDF" in words
    assert refuses_images(read_texts(words)) == is_about_images
    assert refuses_files(read_texts(words)) == is_about_files


@pytest.mark.parametrize(
    ("fault", "words"),
    [(fault, words) for fault, all_words in SETUP.items() for words in all_words],
)
def test_fault_of_the_setup_is_understood_in_every_wording(fault: SetupFault, words: str) -> None:
    assert find_setup_fault(read_texts(words)) == fault


@pytest.mark.parametrize(
    "words",
    [
        *TOO_LONG,
        *IMAGES,
        *FILES,
        "Conversation roles must alternate",
        "Rate limit reached for gpt-4 Limit 30000. Please try again in 1.2s.",
        "Quota exceeded for metric: free_tier_requests, limit: 10, Please retry in 32s.",
        "Unsupported parameter: 'max_tokens' is not supported with this model",
        "The server had an error",
    ],
)
def test_other_refusals_are_not_taken_for_a_fault_of_the_setup(words: str) -> None:
    assert find_setup_fault(read_texts(words)) is None


LONG = "This model's maximum context length is 8192 tokens."


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500, 503, None])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": LONG, "type": "invalid_request_error", "code": None}},
        {"error": {"message": LONG, "code": 400}},
        [{"error": {"code": 400, "message": LONG, "status": "INVALID_ARGUMENT"}}],
        {"error": LONG},
        {"message": LONG},
        {"detail": LONG},
        {"detail": [{"loc": ["body"], "msg": LONG, "type": "value_error"}]},
        {"object": "error", "message": LONG, "code": 40303},
        {"errors": [{"message": LONG}]},
        {"error": {"message": "failed", "metadata": {"raw": json.dumps({"error": LONG})}}},
        {"error": {"message": f"litellm.BadRequestError: OpenAIException - {LONG}", "code": "400"}},
        {"error": json.dumps({"error": {"message": LONG}})},
        LONG,
        LONG.encode(),
        json.dumps({"error": {"message": LONG}}).encode(),
    ],
)
def test_words_are_found_in_a_body_of_any_shape(status: int | None, body: Any) -> None:
    assert classify_response(status, body) is Kind.CONTEXT_TOO_LONG


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, Kind.RATE_LIMIT),
        (
            429,
            {"error": {"code": "rate_limit_exceeded", "message": "Request too large for m"}},
            Kind.CONTEXT_TOO_LONG,
        ),
        (None, {"code": 429, "message": "Provider returned error"}, Kind.RATE_LIMIT),
        (None, {"code": "502", "message": "Bad gateway"}, Kind.SERVER_ERROR),
        (
            400,
            {
                "error": {
                    "code": "BadRequest",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            Kind.CONTENT_FILTER,
        ),
        (402, {"error": "Payment Required"}, Kind.MISCONFIGURED),
        (
            500,
            {"error": {"message": "Unsupported content part type: image_url"}},
            Kind.IMAGE_REFUSED,
        ),
        (
            404,
            {"error": {"message": "no endpoints found that support image input"}},
            Kind.IMAGE_REFUSED,
        ),
        (400, {"error": {"message": "'input_file' is not supported"}}, Kind.FILE_REFUSED),
        (409, {}, Kind.SERVER_ERROR),
        (504, b"<html>Gateway Time-out</html>", Kind.TIMEOUT),
        (None, None, Kind.SERVER_ERROR),
        (None, {"code": {"nested": [1]}}, Kind.SERVER_ERROR),
    ],
)
def test_kind_is_told_by_code_words_and_status(
    status: int | None, body: Any, kind: ProviderErrorKind
) -> None:
    assert classify_response(status, body) is kind


def test_what_a_validator_quotes_of_the_user_is_not_read() -> None:
    quoted = {"type": "missing", "msg": "Field required", "input": f"The user wrote: {LONG}"}
    assert classify_response(422, {"detail": [quoted]}) is Kind.MISCONFIGURED


def test_reading_a_hostile_body_is_bounded() -> None:
    body: Any = "x"
    for _ in range(200):
        body = [body, {"a": body}] if not isinstance(body, list) else [body]
    assert len(read_texts([body, "y" * 10**6])) <= 4000
