"""What becomes of a tool call that failed: the model is told, and goes on.

The Agents SDK ends a run at the tools that ``StopAtTools`` names, also where the call came to
nothing: the user would see nothing at all. ``StopAtWorkingTools`` ends it only where there is
something to see or to wait for; ``describe_tool_error`` notes which calls failed, and tells the
model what was wrong.
"""

from collections.abc import Iterable
from typing import Any, cast

from agents import FunctionToolResult, ModelBehaviorError, RunContextWrapper
from agents.agent import ToolsToFinalOutputResult
from agents.run_config import ToolErrorFormatterArgs

from app.chatkit.agents.context import AgentContext
from app.chatkit.untyped import get_field, get_text

_FAILURES = ("An error occurred while running the tool", "An error occurred while parsing tool")
"""How the SDK's own words for a failed call begin; nothing else tells it from an output."""


class StopAtWorkingTools:
    """The ``tool_use_behavior`` of an agent whose run ends with the named tools, if they work.

    Give its runs ``describe_tool_error`` as ``RunConfig.tool_error_formatter``.
    """

    def __init__(self, stop_at_tool_names: Iterable[str]) -> None:
        self.stop_at_tool_names = list(stop_at_tool_names)

    def __call__(
        self, context: RunContextWrapper[Any], results: list[FunctionToolResult]
    ) -> ToolsToFinalOutputResult:
        """Return whether these results end the run."""
        for result in results:
            is_named = {result.tool.name, result.tool.qualified_name} & {*self.stop_at_tool_names}
            if is_named and _has_worked(context.context, result):
                return ToolsToFinalOutputResult(is_final_output=True, final_output=result.output)
        return ToolsToFinalOutputResult(is_final_output=False, final_output=None)


def _has_worked(context: Any, result: FunctionToolResult) -> bool:
    call_id = get_text(get_field(result.run_item, "raw_item"), "call_id")
    if has_call_failed(context, call_id, result.output, result.tool.name):
        return False
    if not isinstance(context, AgentContext):
        return True
    turn = cast("AgentContext[Any]", context).chatkit_turn
    return bool(turn.client_tool_calls) or turn.outbox.has_shown


def has_call_failed(context: Any, call_id: str, output: Any, tool_name: str) -> bool:
    """Return whether an output is that of a failed call."""
    if isinstance(context, AgentContext):
        turn = cast("AgentContext[Any]", context).chatkit_turn
        if call_id in turn.failed_call_ids:
            return True
    return is_failure_text(output, tool_name)


def is_failure_text(output: Any, tool_name: str) -> bool:
    """Return whether an output is what the SDK says of a failed call."""
    timeout = f"Tool '{tool_name}' timed out after"
    return isinstance(output, str) and output.startswith((*_FAILURES, timeout))


def describe_tool_error(args: ToolErrorFormatterArgs[Any]) -> str | None:
    """Return what the model is told of a failed call, or None for the SDK's own words.

    It is told where its arguments were at fault, and no more: an exception may say anything.
    """
    context: Any = args.run_context.context
    if isinstance(context, AgentContext):
        cast("AgentContext[Any]", context).chatkit_turn.failed_call_ids.add(args.call_id)
    if args.kind == "tool_exception" and isinstance(args.error, ModelBehaviorError):
        return f"An error: {args.tool_name} was not run, since its arguments are not valid."
    return None
