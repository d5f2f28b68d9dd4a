"""Azure OpenAI."""

from tests.providers.scripts import Script, chunk, sse

CHOICES_EMPTY_AND_DELTA_LEFT_OUT = Script(
    "microsoft/autogen#6465",
    (
        sse(
            {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            chunk({"content": "Hello."}),
            {"id": "", "choices": [{"finish_reason": None, "index": 0}], "model": "", "object": ""},
            chunk({}, "stop"),
        ),
    ),
)
DELTA_OF_NULL = Script(
    "openai/openai-python#1677",
    (
        sse(
            chunk({"content": "Hello."}),
            {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
        ),
    ),
)
CUT_BY_THE_FILTER = Script(
    "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter",
    (sse(chunk({"content": "As far as I got"}), chunk({}, "content_filter")),),
)
