"""Work that the first answer of a process would otherwise wait for."""

from typing import get_args

from agents.tracing import get_trace_provider
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel


def warm_up() -> None:
    """Build the validators of the Responses events, which the client builds when first used.

    That takes half a second or more of CPU time, in which the event loop would stand still. The
    SDK's trace provider, made by the first run also where nothing is traced, reads certificates.
    """
    get_trace_provider()
    union = get_args(ResponseStreamEvent)[0]
    for event in get_args(union):
        if isinstance(event, type) and issubclass(event, BaseModel):
            event.model_rebuild()
