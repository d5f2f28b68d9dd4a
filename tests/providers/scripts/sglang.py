"""SGLang."""

from tests.providers.scripts import Script, call, chat

NO_ID_BEHIND_THE_FIRST_CALL = Script(
    "sgl-project/sglang#7048",
    (
        chat(
            call("get_weather", '{"city": "Rome"}', index=0, id="call_a"),
            call("get_weather", '{"city": "Oslo"}', index=1),
        ),
        chat("Both are fine."),
    ),
)
ROLES_AND_FIELDS_OF_NULL = Script(
    "sgl-project/sglang#4550",
    (
        chat(
            {"role": None, "content": "Hel", "reasoning_content": None, "tool_calls": None},
            {"role": None, "content": "lo.", "reasoning_content": None, "tool_calls": None},
            finish=None,
        ),
    ),
)
