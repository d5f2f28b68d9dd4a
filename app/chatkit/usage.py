"""What a turn costs: tokens in, tokens out, and of which model."""

from typing import Any

from agents import RunResultStreaming
from agents.usage import Usage

from app.chatkit.context import RequestContext
from app.chatkit.loose import peek


def record_usage(context: Any, result: RunResultStreaming) -> None:
    """Add what a run of the Agents SDK has used to ``context``, if that keeps count.

    A response that was cut off is counted by no provider, so it is missing here too.
    """
    if not isinstance(context, RequestContext):
        return
    used = peek(peek(result, "context_wrapper"), "usage")
    if isinstance(used, Usage):
        context.usage.input_tokens += used.input_tokens
        context.usage.output_tokens += used.output_tokens
    model = peek(peek(result, "last_agent"), "model")
    name = model if isinstance(model, str) else peek(model, "model")
    if isinstance(name, str):
        context.usage.model = name
