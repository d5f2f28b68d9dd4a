"""How a chat completion ended: the words that servers have for it."""

from collections.abc import Mapping
from typing import Literal

ChatEnding = Literal["complete", "max_output_tokens", "content_filter", "failed"]
"""In the terms of the Responses API; the middle two are its reasons for an incomplete response."""

_ENDINGS: Mapping[str, ChatEnding] = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "model_length": "max_output_tokens",  # Mistral
    "model_context_window_exceeded": "max_output_tokens",  # Anthropic
    "token_limit": "max_output_tokens",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",  # Bedrock
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",  # Gemini, and the next four
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "sensitive": "content_filter",  # Zhipu
    "error": "failed",  # OpenRouter
    "network_error": "failed",  # Zhipu
    "insufficient_system_resource": "failed",  # DeepSeek
    "abort": "failed",  # vLLM, SGLang
    "aborted": "failed",
    "cancelled": "failed",
    "timeout": "failed",
    "malformed_function_call": "failed",  # Gemini
}


def read_ending(finish_reason: str) -> ChatEnding:
    """Return what a finish reason says; every word that is not known here is a good end."""
    return _ENDINGS.get(finish_reason.lower().removeprefix("finish_reason_"), "complete")
