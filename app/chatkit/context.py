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
class TokenUsage:
    """Tokens that the models of a turn took in and gave out, and the last model's name."""

    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SessionFeatures:
    """What the session was minted with: which features are on, and how far they go.

    ``max_upload_bytes`` is of one file; None means that the server's own limit counts.
    """

    automatic_titles: bool = True
    uploads: bool = True
    max_uploads: int | None = None
    max_upload_bytes: int | None = None
    history: bool = True
    recent_threads: int | None = None


@dataclass(slots=True)
class RequestContext:
    """The context that every engine, store and assistant call gets.

    ``user_id`` is the tenant: the store puts it into every key. ``locale`` is a BCP 47 tag from
    ``Accept-Language``. ``metadata`` is what the page sent along with the request: untrusted.
    ``state`` holds the state variables that the session was minted with by your own server, and
    ``features`` what it may do: both can be trusted.
    ``run`` is the run that this request is carried out by, if it is a streaming one; writes of a
    run are fenced by it. ``interrupted`` tells a cancelled run that it was not the user who
    stopped it. ``usage`` adds up what the turn costs. ``request_id`` ties log lines together.
    ``public_url`` is where the caller reaches this server, for links to files; no slash at its end.
    """

    user_id: str
    locale: str = DEFAULT_LOCALE
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    request_id: str = ""
    session_id: str | None = None
    features: SessionFeatures = field(default_factory=SessionFeatures)
    run: RunIdentity | None = None
    interrupted: bool = False
    usage: TokenUsage = field(default_factory=TokenUsage)
    public_url: str = ""
