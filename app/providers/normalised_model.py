"""A model whose events are whole, whatever its server sends (``response_stream``)."""

from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext
from typing import Any, cast

from agents import ModelResponse
from agents.items import TResponseStreamEvent

from app.chatkit.untyped import get_field, get_list
from app.providers.function_calls import CallIds, fix_call
from app.providers.model_wrapper import ModelInput, ModelWrapper
from app.providers.response_message import clean_part
from app.providers.response_stream import ResponseStreamNormaliser


class NormalisedModel(ModelWrapper):
    """Passes everything on to the model, and makes good what it leaves out."""

    async def get_response(
        self, system_instructions: str | None, input: ModelInput, *args: Any, **kwargs: Any
    ) -> ModelResponse:
        """Return the model's whole response."""
        response = await super().get_response(system_instructions, input, *args, **kwargs)
        response.output = fix_output(response.output, input)
        return response

    async def pass_on(
        self, events: AsyncIterator[TResponseStreamEvent], model_input: ModelInput
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Yield the events of one response; closing this ends the model's stream first."""
        normaliser = ResponseStreamNormaliser(model_input)
        closing = aclosing(cast("Any", events)) if hasattr(events, "aclose") else nullcontext()
        async with closing:
            try:
                async for event in events:
                    fixed = normaliser.fix(event)
                    if fixed is None:
                        yield event
                    else:
                        for each in fixed:
                            yield each
            except Exception:
                # What the user may still see of an answer that breaks off.
                for each in normaliser.end():
                    yield each
                raise
            for each in normaliser.end():
                yield each


def fix_output(output: list[Any], model_input: ModelInput) -> list[Any]:
    """Return the items of a response that was not streamed, as those of a stream would be."""
    ids = CallIds(model_input)
    fixed: list[Any] = []
    for item in output:
        match get_field(item, "type"):
            case "message":
                content = [clean_part(part) for part in get_list(item, "content")]
                fixed.append(item.model_copy(update={"content": content}))
            case "function_call":
                fixed.append(fix_call(item, ids))
            case _:
                fixed.append(item)
    return [each for each in fixed if each is not None]
