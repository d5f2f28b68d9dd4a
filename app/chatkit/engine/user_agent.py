"""The User-Agent that model requests carry while a turn runs."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Token

import agents
from agents.models.chatcmpl_helpers import HEADERS_OVERRIDE as CHAT_COMPLETIONS_HEADERS
from agents.models.openai_responses import _HEADERS_OVERRIDE as RESPONSES_HEADERS  # pyright: ignore[reportPrivateUsage] - the SDK offers no public one

from app.chatkit.version import __version__

_HEADERS = {"User-Agent": f"Agents/Python {agents.__version__} ChatKit/Python {__version__}"}


__all__ = [
    "CHAT_COMPLETIONS_HEADERS",
    "RESPONSES_HEADERS",
    "UserAgentTokens",
    "agents_sdk_user_agent_override",
    "reset_user_agent",
    "set_user_agent",
]

UserAgentTokens = tuple[
    Token[dict[str, str] | None],
    Token[dict[str, str] | None],
]


def set_user_agent() -> UserAgentTokens | None:
    """Set the User-Agent of the Agents SDK's model requests made from here on; None if it is."""
    if RESPONSES_HEADERS.get() is _HEADERS and CHAT_COMPLETIONS_HEADERS.get() is _HEADERS:
        return None
    return CHAT_COMPLETIONS_HEADERS.set(_HEADERS), RESPONSES_HEADERS.set(_HEADERS)


def reset_user_agent(tokens: UserAgentTokens | None) -> None:
    """Put back what ``set_user_agent`` replaced; in the task that set it, as Python demands."""
    if tokens is not None:
        CHAT_COMPLETIONS_HEADERS.reset(tokens[0])
        RESPONSES_HEADERS.reset(tokens[1])


@contextmanager
def agents_sdk_user_agent_override() -> Generator[None]:
    """Set the User-Agent for a block of code within one task; it is put back whatever happens."""
    tokens = set_user_agent()
    try:
        yield
    finally:
        reset_user_agent(tokens)
