"""llama.cpp's server; most of it recorded."""

from tests.providers.scripts import Raw, Script, call, chat, recorded

ARGUMENTS_AS_AN_OBJECT = Script(
    "ggml-org/llama.cpp#20198",
    (
        chat(
            call("get_weather", {"city": "Rome"}, index=0, id="call_a"),
            call("get_weather", {"city": "Oslo"}, index=1, id="call_b"),
        ),
        chat("Both are fine."),
    ),
)
CUT_WITHIN_ITS_THOUGHTS = Script(
    "ggml-org/llama.cpp, recorded",
    (recorded("llamacpp-responses-reasoning-cut"), recorded("llamacpp-responses-reasoning")),
    api="responses",
)
REASONING_FIRST = Script(
    "ggml-org/llama.cpp, recorded", (recorded("llamacpp-responses-reasoning"),), api="responses"
)
NO_PLACES = Script(
    "ggml-org/llama.cpp, recorded", (recorded("llamacpp-responses-length"),), api="responses"
)
CALL_WITHOUT_PLACE = Script(
    "ggml-org/llama.cpp, recorded",
    (recorded("llamacpp-responses-tool-call"), recorded("llamacpp-responses-length")),
    api="responses",
)


def ignore_named_choice(answer: Raw, text: Raw) -> Script:
    """Return a server that heeds no name in ``tool_choice`` (ggml-org/llama.cpp#26535)."""

    def answer_in_words(body):
        choice = body.get("tool_choice")
        is_forced = choice == "required" and len(body.get("tools", [])) == 1
        return None if is_forced or not body.get("stream") else text

    return Script("ggml-org/llama.cpp#26535", (answer,), rules=(answer_in_words,))
