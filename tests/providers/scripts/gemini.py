"""Gemini's compatible endpoint, and proxies in front of it."""

from tests.providers.scripts import Script, call, chat, chunk, sse

IDS_EMPTY = Script(
    "vercel/ai#7834",
    (
        chat(
            call("get_weather", '{"city": "Rome"}', id=""),
            call("get_weather", '{"city": "Oslo"}', id=""),
        ),
        chat("Both are fine."),
    ),
)
BLOCKED_FOR_SAFETY = Script(
    "https://ai.google.dev/api/generate-content#FinishReason",
    (sse(chunk({"content": "As far as I got"}), chunk({}, "SAFETY")),),
)
MALFORMED_CALL = Script(
    "https://ai.google.dev/api/generate-content#FinishReason",
    (sse(chunk({}, "MALFORMED_FUNCTION_CALL")),),
)
NO_TERMINAL_CHUNK = Script(
    "open-learning-exchange/planet#10281", (chat("As far as I got", finish=None, done=False),)
)
