"""What a turn costs: tokens in, tokens out, and of which model."""

from typing import Any

from agents import RunResultStreaming
from agents.usage import Usage

from app.chatkit.context import RequestContext
from app.chatkit.untyped import get_field


def record_usage(context: Any, result: RunResultStreaming) -> None:
    """Add what a run of the Agents SDK has used to ``context``, if that keeps count.

    A response that was cut off is counted by no provider, so it is missing here too.
    """
    if not isinstance(context, RequestContext):
        return
    used = get_field(get_field(result, "context_wrapper"), "usage")
    if isinstance(used, Usage):
        context.usage.input_tokens += used.input_tokens
        context.usage.output_tokens += used.output_tokens
    model = get_field(get_field(result, "last_agent"), "model")
    name = model if isinstance(model, str) else get_field(model, "model")
    if isinstance(name, str):
        context.usage.model = name
