"""Ollama."""

from tests.providers.scripts import Script, call, chat

CALLS_ALL_AT_INDEX_0 = Script(
    "ollama/ollama#15457",
    (
        chat(
            call("get_weather", '{"city": "Rome"}', id="call_a"),
            call("get_weather", '{"city": "Oslo"}', id="call_b"),
            finish="tool_calls",
        ),
        chat("Both are fine."),
    ),
)
