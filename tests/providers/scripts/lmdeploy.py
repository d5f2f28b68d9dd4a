"""LMDeploy, and what its reporters saw of vLLM and SGLang."""

from tests.providers.scripts import Script, call, chat

CALLS_AT_INDEX_0_AND_IDS_EMPTY = Script(
    "InternLM/lmdeploy#3412",
    (
        chat(
            call("get_weather", "", id="call_a"),
            call(None, {"city": "Rome"}, id=""),
            call("get_weather", "", id="call_b"),
            call(None, {"city": "Oslo"}, id=""),
            finish="tool_calls",
        ),
        chat("Both are fine."),
    ),
)
IDS_REPEATED_IN_EVERY_PIECE = Script(
    "InternLM/lmdeploy#3412",
    (
        chat(
            call("get_weather", "", id="0"),
            call("get_weather", '{"city": ', id="0"),
            call("get_weather", '"Rome"}', id="0"),
            call("get_weather", "", id="1"),
            call("get_weather", '{"city": "Oslo"}', id="1"),
            finish="tool_calls",
        ),
        chat("Both are fine."),
    ),
)
