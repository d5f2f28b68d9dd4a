"""vLLM, and servers that are built on it."""

from tests.providers.scripts import (
    Script,
    added,
    call,
    chat,
    chunk,
    finished,
    message,
    responses,
    sse,
    text_delta,
)

NO_IDS = Script(
    "vllm-project/vllm#18412",
    (
        chat(
            call("get_weather", "", index=0),
            call(None, '{"city": "Rome"}', index=0),
            call("get_weather", "", index=1),
            call(None, '{"city": "Oslo"}', index=1),
        ),
        chat("Both are fine."),
    ),
)
ONE_SLOW_LETTER_IN_THE_LAST_CHUNK = Script(
    "vllm-project/vllm#35705",
    (sse(chunk({"content": "As far as"}), chunk({"content": " I got"}, "length")),),
)
ABORTED = Script(
    "https://github.com/vllm-project/vllm/blob/main/vllm/v1/engine/__init__.py",
    (sse(chunk({"content": "As far as I got"}), chunk({}, "abort")),),
)
FINAL_RESPONSE_WITHOUT_OUTPUT = Script(
    "vllm-project/vllm#30223",
    (
        responses(added(message("")), text_delta("Hello."), finished(message("Hello.")), output=[]),
        responses(added(message("")), finished(message("Again.")), output=[]),
    ),
    api="responses",
)
EVERY_ANSWER_IN_THE_REASONING = Script(
    "vllm-project/vllm#30139",
    (
        chat({"reasoning": "The whole answer"}, {"reasoning": " is here."}),
        chat("Now it is here."),
    ),
)
