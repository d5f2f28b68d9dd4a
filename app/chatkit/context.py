"""Who asks, and what came with the request."""

from dataclasses import dataclass, field
from typing import Any

DEFAULT_LOCALE = "en"


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The run that a streaming request is carried out by: its id, request type and replica."""

    id: str
    kind: str
    replica: str


@dataclass(slots=True)
class RequestContext:
    """The context that every engine, store and assistant call gets.

    ``user_id`` is the tenant: the store puts it into every key. ``locale`` is a BCP 47 tag from
    ``Accept-Language``. ``metadata`` is what the page sent along with the request: untrusted.
    ``state`` holds what the server itself knows of the session (state variables, configuration).
    ``run`` is the run that this request is carried out by, if it is a streaming one; writes of a
    run are fenced by it. ``interrupted`` tells a cancelled run that it was not the user who
    stopped it. ``request_id`` ties log lines together.
    """

    user_id: str
    locale: str = DEFAULT_LOCALE
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    request_id: str = ""
    session_id: str | None = None
    run: RunIdentity | None = None
    interrupted: bool = False
