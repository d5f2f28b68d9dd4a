"""Exceptions that only newer versions of the Agents SDK have.

With an older one a class stands in that nothing raises, so that it can be named all the same.
"""

from typing import TYPE_CHECKING

from agents import exceptions

if TYPE_CHECKING:
    from agents.exceptions import ModelRefusalError, ModelTimeoutError, ToolTimeoutError
else:

    def _get(name: str) -> type[Exception]:
        return getattr(exceptions, name, None) or type(name, (exceptions.AgentsException,), {})

    ModelRefusalError = _get("ModelRefusalError")
    ModelTimeoutError = _get("ModelTimeoutError")
    ToolTimeoutError = _get("ToolTimeoutError")

__all__ = ["ModelRefusalError", "ModelTimeoutError", "ToolTimeoutError"]
