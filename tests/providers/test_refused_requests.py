"""What a provider refuses is sent once more with less, or told: to the user and to the operator."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from app.chatkit.agents.provider_errors import ERROR_TEXTS
from app.chatkit.agents.provider_errors import ProviderErrorKind as Kind
from app.chatkit.store import AttachmentContent
from tests.assistant.attachments import MemoryAttachments, attached
from tests.providers.fake_openai import FakeOpenAI, Raw, ReceivedRequest, Reply, ToolCall
from tests.providers.scripts import Rule, recorded, sse
from tests.support.conversation import Conversation, answer_text

Start = Callable[..., Conversation]

PNG = AttachmentContent("image", "image/png", b"\x89PNG")
PDF = AttachmentContent("pdf", "application/pdf", b"%PDF-1.7")

GEMINI = [
    {
        "error": {
            "code": 400,
            "message": "The input token count (40000) exceeds the maximum number of tokens allowed "
            "(32768).",
            "status": "INVALID_ARGUMENT",
        }
    }
]
TOKENS_PER_MINUTE = {
    "error": {
        "code": "rate_limit_exceeded",
        "type": "tokens",
        "message": "Request too large for gpt-4.1 in organization org-x on tokens per min (TPM): "
        "Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run.",
    }
}
BEDROCK = {"message": "Input is too long for requested model."}
ANTHROPIC = {"type": "error", "error": {"type": "x", "message": "prompt is too long: 9 > 8 tokens"}}


def answer(status: int, body: Any) -> Raw:
    """Return an error as it stands: nothing tells the client not to repeat the request."""
    return Raw((body if isinstance(body, str) else json.dumps(body),), status, "application/json")


def messages(request: ReceivedRequest) -> list[dict[str, Any]]:
    """Return what a request holds besides the instructions."""
    given = request.body.get("input", request.body.get("messages"))
    return [each for each in given if each.get("role") not in ("system", "developer")]


def longer_than(length: int, refusal: Raw) -> Rule:
    """Refuse as a model does whose context is ``length`` characters of conversation."""

    def refuse(body: dict[str, Any]) -> Raw | None:
        given = messages(ReceivedRequest("", {}, body))
        return refusal if len(json.dumps(given)) > length else None

    return refuse


def with_part(name: str, refusal: Raw) -> Rule:
    """Refuse whatever holds a part of that kind."""
    return lambda body: refusal if f'"{name}"' in json.dumps(body) else None


def errors(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "error"]


async def talk_long(conversation: Conversation, fake: FakeOpenAI, turns: int = 6) -> None:
    for number in range(turns):
        fake.replies.append(Reply(text=f"Answer {number}. " + "word " * 60))
        await conversation.say(f"Question {number}. " + "word " * 60)
    fake.requests.clear()


# --- too long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, GEMINI),
        (429, TOKENS_PER_MINUTE),
        (400, BEDROCK),
        (413, ANTHROPIC),
        (500, "too many tokens"),
    ],
)
async def test_conversation_that_is_too_long_is_answered_with_less_history(
    conversation: Conversation, fake: FakeOpenAI, status: int, body: Any
) -> None:
    await talk_long(conversation, fake)
    fake.rules.append(longer_than(3000, answer(status, body)))
    fake.replies.append(Reply(text="Still here."))
    events = await conversation.say("And now?")
    assert errors(events) == []
    assert answer_text(events) == "Still here."
    refused, taken = fake.streamed
    assert messages(taken) == messages(refused)[-len(messages(taken)) :]
    assert messages(taken)[0]["role"] == "user"
    assert "And now?" in json.dumps(messages(taken)[-1])
    assert len(messages(taken)) > 1


@pytest.mark.parametrize(
    "name", ["llamacpp-{}-context-overflow", "litellm-1.80.5-chat-context-overflow"]
)
async def test_recorded_overflow_is_understood(
    conversation: Conversation, fake: FakeOpenAI, model_api: str, name: str
) -> None:
    await talk_long(conversation, fake)
    kind = "chat" if model_api == "chat_completions" else "responses"
    fake.replies.extend([recorded(name.format(kind)), Reply(text="Still here.")])
    assert answer_text(await conversation.say("And now?")) == "Still here."
    assert len(messages(fake.streamed[1])) < len(messages(fake.streamed[0]))


async def test_it_is_tried_once_more_and_then_told(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    await talk_long(conversation, fake)
    fake.rules.append(longer_than(0, answer(400, GEMINI)))
    (error,) = errors(await conversation.say("And now?"))
    assert error["message"] == ERROR_TEXTS[Kind.CONTEXT_TOO_LONG]
    assert error["allow_retry"] is False
    assert len(fake.streamed) == 2


async def test_message_that_is_too_long_by_itself_is_told_at_once(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    fake.rules.append(longer_than(100, answer(500, BEDROCK)))
    (error,) = errors(await conversation.say("word " * 100))
    assert error["message"] == ERROR_TEXTS[Kind.CONTEXT_TOO_LONG]
    assert len(fake.streamed) == 1


@pytest.mark.parametrize("refusal", [BEDROCK, {"error": "33,000 tokens are more than 9,000"}])
async def test_turn_that_is_being_answered_stays_whole_but_for_long_outputs(
    conversation: Conversation,
    fake: FakeOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Any,
) -> None:
    monkeypatch.setattr("app.assistant.tools.look_up_weather", _look_up_at_length)
    await talk_long(conversation, fake, turns=2)
    fake.rules.append(longer_than(9000, answer(400, refusal)))
    call = ToolCall("get_weather", '{"city": "Oslo"}')
    fake.replies.extend([Reply(tool_calls=(call,)), Reply(text="Cold.")])
    assert answer_text(await conversation.say("Weather in Oslo?")) == "Cold."
    _, refused, taken = fake.streamed
    assert len(json.dumps(refused.body)) > 30_000
    told = json.dumps(messages(taken), ensure_ascii=False)
    assert "Weather in Oslo?" in told
    assert "Question 0" not in told
    assert "the rest is left out" in told


def _look_up_at_length(city: str, units: Any) -> Any:
    class Weather:
        sentence = f"In {city} it is " + "c" + "o" * 30_000 + "ld."
        sky, icon, temperature, wind = "sunny", "lucide:sun", "1 °C", "2 km/h"

    weather = Weather()
    weather.city, weather.units = city, units  # type: ignore[attr-defined]
    return weather


@pytest.mark.parametrize("kind", ["response.failed", "error"])
async def test_overflow_that_is_told_in_the_stream_is_understood(
    converse: Start, fake: FakeOpenAI, kind: str
) -> None:
    conversation = converse("responses")
    await talk_long(conversation, fake)
    error = {"code": "context_length_exceeded", "message": "Your input exceeds the context window."}
    body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    begun = {"type": "response.created", "response": {**body, "status": "in_progress"}}
    failed = {"type": kind, **error}
    if kind == "response.failed":
        failed = {"type": kind, "response": {**body, "status": "failed", "error": error}}
    fake.replies.extend([sse(begun, failed, done=False), Reply(text="Still here.")])
    events = await conversation.say("And now?")
    assert errors(events) == []
    assert answer_text(events) == "Still here."


async def test_overflow_that_is_a_chunk_is_understood(converse: Start, fake: FakeOpenAI) -> None:
    conversation = converse("chat_completions")
    await talk_long(conversation, fake)
    fake.replies.extend([sse(GEMINI[0]), Reply(text="Still here.")])
    assert answer_text(await conversation.say("And now?")) == "Still here."


async def test_nothing_is_asked_again_behind_the_first_word(
    conversation: Conversation, fake: FakeOpenAI
) -> None:
    await talk_long(conversation, fake)
    fake.replies.append(Reply(text="Half of it", failed="context_length_exceeded"))
    (error,) = errors(await conversation.say("And now?"))
    assert len(fake.streamed) == 1
    assert error["message"] == ERROR_TEXTS[Kind.CONTEXT_TOO_LONG]


async def test_rate_limit_is_no_overflow(conversation: Conversation, fake: FakeOpenAI) -> None:
    await talk_long(conversation, fake)
    words = "Rate limit reached on tokens per min (TPM): Limit 3, Used 2. Please try again in 9s."
    refusal = Raw(
        (json.dumps({"error": {"message": words}}),),
        429,
        "application/json",
        {"x-should-retry": "false"},
    )
    fake.replies.append(refusal)
    (error,) = errors(await conversation.say("And now?"))
    assert error["message"] == ERROR_TEXTS[Kind.RATE_LIMIT]
    assert len(fake.streamed) == 1


# --- images and files ----------------------------------------------------------------------------


async def upload(conversation: Conversation) -> list[str]:
    """Let the user have an image and a PDF; return their ids."""
    for name, mime_type in (("atc_image", "image/png"), ("atc_pdf", "application/pdf")):
        attachment = attached(name, f"{name}.file", mime_type)
        await conversation.server.store.save_attachment(attachment, conversation.context)
    return ["atc_image", "atc_pdf"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": {"message": "Unsupported content part type: image_url"}}),
        (404, {"error": {"message": "No endpoints found that support image input", "code": 404}}),
        (400, {"error": "this model does not support image input"}),
        (422, {"detail": "unknown variant `image_url`, expected `text`"}),
        (400, {"error": {"message": "messages[0].content must be a string"}}),
        (415, {"error": "no"}),
        (503, [{"error": {"message": "model is not multimodal"}}]),
    ],
)
async def test_refused_image_is_left_out_now_and_later(
    converse: Start, model_api: str, fake: FakeOpenAI, status: int, body: Any
) -> None:
    conversation = converse(model_api, MemoryAttachments({"atc_image": PNG}))
    (image, _) = await upload(conversation)
    part = {"responses": "input_image", "chat_completions": "image_url"}[model_api]
    fake.rules.append(with_part(part, answer(status, body)))
    fake.replies.extend([Reply(text="I cannot see it."), Reply(text="As I said.")])
    events = await conversation.say("look", attachments=[image])
    assert errors(events) == []
    assert answer_text(events) == "I cannot see it."
    assert "cannot see" in json.dumps(fake.streamed[-1].body)
    assert len(fake.streamed) == 2
    events = await conversation.say("and again")
    assert errors(events) == []
    assert answer_text(events) == "As I said."


async def test_model_that_takes_no_images_is_not_asked_again(
    converse: Start, fake: FakeOpenAI
) -> None:
    conversation = converse("chat_completions", MemoryAttachments({"atc_image": PNG}))
    (image, _) = await upload(conversation)
    fake.rules.append(with_part("image_url", recorded("llamacpp-chat-image-refused")))
    fake.replies.extend([Reply(text="I cannot see it."), Reply(text="As I said.")])
    await conversation.say("look", attachments=[image])
    fake.requests.clear()
    await conversation.say("and again")
    assert len(fake.streamed) == 1
    assert "atc_image.file" in json.dumps(fake.streamed[0].body)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("'input_file' is not supported by llamacpp at this moment", "input_image"),
        ("this model does not support images", "input_file"),
    ],
)
async def test_only_what_is_refused_is_left_out(
    converse: Start, fake: FakeOpenAI, words: str, kept: str
) -> None:
    conversation = converse("responses", MemoryAttachments({"atc_image": PNG, "atc_pdf": PDF}))
    files = await upload(conversation)
    (gone,) = {"input_image", "input_file"} - {kept}
    fake.rules.append(with_part(gone, answer(400, {"error": {"message": words}})))
    fake.replies.append(Reply(text="One of them."))
    assert answer_text(await conversation.say("look", attachments=files)) == "One of them."
    sent = json.dumps(fake.streamed[1].body)
    assert f'"{kept}"' in sent
    assert f'"{gone}"' not in sent


async def test_model_that_takes_neither_is_asked_without_both(
    converse: Start, fake: FakeOpenAI
) -> None:
    conversation = converse("responses", MemoryAttachments({"atc_image": PNG, "atc_pdf": PDF}))
    files = await upload(conversation)
    for part, words in (
        ("input_image", "image input is not supported"),
        ("input_file", "no files: unsupported"),
    ):
        fake.rules.append(with_part(part, answer(500, {"error": {"message": words}})))
    fake.replies.append(Reply(text="None of them."))
    assert answer_text(await conversation.say("look", attachments=files)) == "None of them."
    assert len(fake.streamed) == 3


# --- what the operator is told -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "setting"),
    [
        (
            answer(401, {"error": {"message": "Incorrect API key provided: sk-test"}}),
            "OPENAI_API_KEY",
        ),
        (recorded("llamacpp-wrong-key"), "OPENAI_API_KEY"),
        (recorded("litellm-1.80.5-chat-wrong-key"), "OPENAI_API_KEY"),
        (
            answer(400, [{"error": {"message": "API key not valid. sk-test", "code": 400}}]),
            "OPENAI_API_KEY",
        ),
        (answer(429, {"error": {"code": "insufficient_quota", "message": "x"}}), "OPENAI_API_KEY"),
        (answer(402, {"error": {"message": "Insufficient Balance"}}), "OPENAI_API_KEY"),
        (answer(404, {"error": {"code": "DeploymentNotFound", "message": "x"}}), "ASSISTANT_MODEL"),
        (answer(404, {"error": "model 'x' not found, try pulling it first"}), "ASSISTANT_MODEL"),
        (recorded("litellm-1.80.5-chat-wrong-model"), "ASSISTANT_MODEL"),
        (answer(404, {"detail": "Not Found"}), "OPENAI_BASE_URL"),
        (Raw(("<html>405 Not Allowed</html>",), 405, "text/html"), "MODEL_API"),
    ],
)
async def test_operator_is_told_in_one_line_what_to_set(
    conversation: Conversation,
    fake: FakeOpenAI,
    caplog: pytest.LogCaptureFixture,
    refusal: Raw,
    setting: str,
) -> None:
    fake.replies.append(refusal)
    with caplog.at_level(logging.ERROR):
        (error,) = errors(await conversation.say("hi"))
    assert error["message"] == ERROR_TEXTS[Kind.MISCONFIGURED]
    assert len(fake.streamed) == 1
    lines = [each.getMessage() for each in caplog.records if each.name == "app.providers.advice"]
    (line,) = lines
    assert setting in line
    assert "\n" not in line
    assert "sk-test" not in line
