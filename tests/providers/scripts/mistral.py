"""Mistral."""

from tests.providers.scripts import Script, chat, chunk, sse

THINKING_IN_A_LIST = Script(
    "vercel/ai#8012",
    (
        chat(
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]},
            "Hello.",
        ),
    ),
)
TEXT_IN_A_LIST = Script(
    "vercel/ai#8012",
    (
        chat(
            {"content": [{"type": "thinking", "thinking": "hmm"}, {"type": "text", "text": "Hel"}]},
            {"content": [{"type": "text", "text": "lo."}]},
        ),
    ),
)
CUT_BY_THE_MODELS_LENGTH = Script(
    "https://docs.mistral.ai/api", (sse(chunk({"content": "As far as I got"}, "model_length")),)
)
