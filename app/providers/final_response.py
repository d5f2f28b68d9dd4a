"""The last event of a response: it holds every item as it was shown, and says how it ended."""

from typing import Any

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseUsage,
)

from app.chatkit.untyped import get_field, get_list, get_text
from app.providers.response_events import create_item_id
from app.providers.response_message import is_same

_ENDINGS: dict[str, type[Any]] = {
    "completed": ResponseCompletedEvent,
    "incomplete": ResponseIncompleteEvent,
    "failed": ResponseFailedEvent,
    "cancelled": ResponseFailedEvent,
}
"""The event for each status; the status is what counts, whatever event it came in."""


def is_failure(event: Any) -> bool:
    """Return whether a last event says that the provider has given up."""
    return _kind_of(event) is ResponseFailedEvent


def write_final_event(event: Any, output: list[Any] | None = None) -> list[Any] | None:
    """Return the last event with ``output`` as what the response holds; None if it has that."""
    response, kind = get_field(event, "response"), _kind_of(event)
    usage = get_field(response, "usage")
    is_fine = (
        isinstance(response, Response)
        and isinstance(event, kind)
        and isinstance(usage, ResponseUsage | None)
        and (output is None or is_same(get_list(response, "output"), output))
        and bool(response.id)
    )
    if is_fine:
        return None
    if not isinstance(response, Response):
        response = Response.construct(object="response", created_at=0, model="", output=[])
    update: dict[str, Any] = {
        "output": get_list(response, "output") if output is None else output,
        "usage": usage if isinstance(usage, ResponseUsage) else None,
        "id": response.id or create_item_id("resp"),
    }
    name = next(name for name, each in _ENDINGS.items() if each is kind)
    final = response.model_copy(update=update)
    return [kind.construct(type=f"response.{name}", response=final, sequence_number=0)]


def _kind_of(event: Any) -> type[Any]:
    """Return the class of the event that a last event should have been."""
    name = event.type.removeprefix("response.")
    if name not in ("failed", "incomplete"):
        name = get_text(get_field(event, "response"), "status")
    return _ENDINGS.get(name, ResponseCompletedEvent)
