"""OpenRouter, and others that pass on what many servers send."""

from tests.providers.scripts import Script, chunk, sse

PROVIDER_LOST_IN_THE_MIDDLE = Script(
    "gethouston/houston#1211",
    (sse(chunk({"content": "As far as I got"}), chunk({}, "error")),),
)
ERROR_ON_THE_CHOICE = Script(
    "genkit-ai/genkit#6259",
    (
        sse(
            chunk({"content": "As far as I got"}),
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": ""},
                        "finish_reason": "error",
                        "error": {"code": "rate_limit_exceeded", "message": "Slow down"},
                    }
                ]
            },
        ),
    ),
)
ERROR_CHUNK = Script(
    "damianvtran/local-operator#223",
    (
        sse(
            chunk({"content": "As far as I got"}),
            {"error": {"code": 502, "message": "Provider disconnected"}, "choices": []},
        ),
    ),
)
CHOICES_OF_NULL = Script(
    "https://openrouter.ai/docs/api-reference/streaming",
    (
        sse(
            {"choices": None, "usage": None},
            {"choices": [{"delta": {"role": None, "content": None}}]},
            {"choices": [{"delta": {"content": "Hello."}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}},
            "null",
        ),
    ),
)
