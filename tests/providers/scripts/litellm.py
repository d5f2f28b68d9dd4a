"""LiteLLM's proxy, recorded or as reported."""

from tests.providers.scripts import (
    Script,
    chunk,
    function_call,
    message,
    recorded,
    responses,
    sse,
    text_delta,
)

UPSTREAM_KILLED = Script("BerriAI/litellm, recorded", (sse(chunk({}, "stop")),))
AN_ID_PER_EVENT = Script(
    "BerriAI/litellm, recorded", (recorded("litellm-1.80.5-responses-bridge-text"),), "responses"
)
CALL_ONLY_IN_THE_FINAL_RESPONSE = Script(
    "BerriAI/litellm, recorded",
    (
        recorded("litellm-1.80.5-responses-bridge-tool-call"),
        recorded("litellm-1.80.5-responses-bridge-text"),
    ),
    "responses",
)
NEVER_ANNOUNCED = Script(
    "BerriAI/litellm#22102",
    (
        responses(text_delta("Hel"), text_delta("lo."), output=[message("Hello.")]),
        responses(text_delta("Again."), output=[message("Again.")]),
    ),
    "responses",
)
NEVER_STREAMED = Script(
    "Sophomoresty/gemini-web2api#57",
    (responses(output=[message("Hello.")]), responses(output=[message("Again.")])),
    "responses",
)
UNKNOWN_TOOL = Script(
    "BerriAI/litellm, as reported for NousResearch/hermes-agent#3468",
    (
        responses(output=[function_call("no_such_tool", '{"a": 1}')]),
        responses(text_delta("There is no such tool."), output=[message("There is no such tool.")]),
    ),
    "responses",
)
