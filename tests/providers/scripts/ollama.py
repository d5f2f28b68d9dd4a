"""Ollama."""

from tests.providers.scripts import Script, call, chat, chunk, sse

ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'

CALLS_ALL_AT_INDEX_0 = Script(
    "ollama/ollama#15457",
    (
        chat(
            call("get_weather", ROME, id="call_a"),
            call("get_weather", OSLO, id="call_b"),
            finish="tool_calls",
        ),
        chat("Both are fine."),
    ),
)
CALLS_WITHOUT_INDEX = Script(
    "ollama/ollama#7881",
    (
        chat(
            call("get_weather", ROME, id="call_a", index=None),
            call("get_weather", OSLO, id="call_b", index=None),
        ),
        chat("Both are fine."),
    ),
)
EMPTY_FINISH_REASONS = Script(
    "ollama/ollama#4357",
    (
        sse(
            chunk({"content": "Hello"}, ""),
            chunk({"content": " there."}, ""),
            chunk({"content": ""}, "stop"),
        ),
    ),
)
THINKING_UNDER_ANOTHER_NAME = Script(
    "https://github.com/ollama/ollama/blob/main/docs/api.md",
    (chat({"role": "assistant", "content": "", "thinking": "They greet me."}, "Hello."),),
)
