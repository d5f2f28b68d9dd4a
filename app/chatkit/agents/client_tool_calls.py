"""Which of the model's function calls a client tool call stands for.

A tool function assigns ``AgentContext.client_tool_call`` without saying in which of several
parallel calls it runs. What the page answers must go back to the model under the right ``call_id``.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.chatkit.agents.context import ClientToolCall
from app.chatkit.untyped import get_field, get_list, get_text


@dataclass(slots=True, frozen=True)
class FunctionCall:
    """A function call as the model made it, in its ``turn`` of the run; ids may be empty."""

    turn: int
    name: str
    call_id: str
    item_id: str
    arguments: str

    def has_arguments(self, arguments: dict[str, Any]) -> bool:
        """Return whether the call was made with ``arguments``."""
        try:
            return json.loads(self.arguments or "{}") == arguments
        except (ValueError, RecursionError):
            return False


def read_function_call(raw_item: Any, turn: int) -> FunctionCall | None:
    """Return the function call in an Agents SDK run item, or None for any other kind of item."""
    if get_field(raw_item, "type") != "function_call":
        return None
    return FunctionCall(
        turn=turn,
        name=get_text(raw_item, "name"),
        call_id=get_text(raw_item, "call_id"),
        item_id=get_text(raw_item, "id"),
        arguments=get_text(raw_item, "arguments"),
    )


def bind_client_tool_calls(
    calls: Sequence[ClientToolCall],
    function_calls: Sequence[FunctionCall],
    stop_names: Collection[str],
) -> list[FunctionCall | None]:
    """Return the function call for each client tool call, or None where none is left.

    The model's newest turn goes first. A call of the same name and arguments is the best match,
    then one of the same name, then one that stops the agent (``stop_names``), then the last ones.
    """
    free = sorted(function_calls, key=lambda each: -each.turn)
    bound: list[FunctionCall | None] = [None] * len(calls)

    def bind(index: int, match: FunctionCall | None) -> None:
        if match is not None:
            bound[index] = match
            free.remove(match)

    for index, call in enumerate(calls):
        named = [each for each in free if each.name == call.name]
        exact = (each for each in named if each.has_arguments(call.arguments))
        bind(index, next(exact, named[0] if named else None))
    for index in _unbound(bound):
        bind(index, next((each for each in free if each.name in stop_names), None))
    rest = _unbound(bound)
    newest = [each for each in free if each.turn == free[0].turn]
    for index, match in zip(reversed(rest), reversed(newest), strict=False):
        bind(index, match)
    return bound


def _unbound(bound: Sequence[FunctionCall | None]) -> list[int]:
    return [index for index, match in enumerate(bound) if match is None]


def names_that_stop(agent: Any) -> list[str]:
    """Return the names of the tools whose call ends a run of ``agent``."""
    return get_list(get_field(agent, "tool_use_behavior"), "stop_at_tool_names")
