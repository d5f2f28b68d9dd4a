"""The deliberate differences from openai-chatkit 1.6.5, each with its reason.

Numbers in brackets are those of the defects of the official SDK that ours does not have. The tests
fail for a difference that is not listed, and for an entry that no longer occurs.
"""

from collections.abc import Mapping

NAME_DIFFERENCES: Mapping[str, str] = {
    "agents.StreamingThoughtTracker": "the state of one function, which ours does not have",
    "server.DEFAULT_ERROR_MESSAGE": "a text that the official package itself does not use",
}
"""``module.name`` that ours does not have -> reason."""

SCHEMA_DIFFERENCES: Mapping[str, str] = {
    "*.deprecated": "widgets built by name are as good as those of a template here",
    "**|Table": "a component that the frontend's own types have",
    "**|TableCell": "see Table",
    "**|TableRow": "see Table",
    "Action*.required": "[17] an action without a type is refused",
}
"""Path in a schema -> reason. ``*`` stands for a text without a dot, ``**`` for any text."""

SIGNATURE_DIFFERENCES: Mapping[str, str] = {
    "agents.simple_to_agent_input": "awaited either way",
    "server.StreamingResult.__aiter__": "the same to `async for`",
    "server.StreamingResult.__init__": "a result also gives access to its turn",
    "widgets.*.serialize": "a hook of pydantic, which nobody calls",
}
"""``module.name`` or ``module.Class.method`` -> reason."""
