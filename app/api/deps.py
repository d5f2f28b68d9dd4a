"""What routes need, each as one annotated dependency."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.api.streams import OpenStreams
from app.audit import audit
from app.auth.hosted import HostedSessions
from app.auth.identity import Identity
from app.auth.server_keys import ServerKeys
from app.auth.sessions import ChatSession, ChatSessions
from app.chatkit.context import DEFAULT_LOCALE, RequestContext
from app.chatkit.server import ChatKitServer
from app.chatkit.server.limits import RequestLimits
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.errors import ForbiddenError, UnauthorizedError
from app.observability import came_by_https, get_request_id, hide_link
from app.runs.registry import Runs
from app.settings import Settings
from app.uploads.attachments import UploadStore
from app.uploads.cleanup import UploadCleanup

MAX_LOCALE_LENGTH = 35  # the longest language tag that RFC 5646 asks to support


@dataclass(frozen=True, slots=True)
class Services:
    """What one replica is made of; wired in ``app.main``, read from ``request.state``."""

    settings: Settings
    pool: ConnectionPool
    database: Database
    sessions: ChatSessions
    identity: Identity
    server: ChatKitServer[RequestContext]
    runs: Runs
    server_keys: ServerKeys
    uploads: UploadStore
    cleanup: UploadCleanup
    limits: RequestLimits
    streams: OpenStreams
    hosted: HostedSessions | None = None


def get_services(request: Request) -> Services:
    """Return the replica's services."""
    return request.state.services


async def _provide_services(request: Request) -> Services:
    # FastAPI calls what is not async in a thread, which costs more than the rest of a request.
    return get_services(request)


ServicesDep = Annotated[Services, Depends(_provide_services)]


async def get_session(request: Request, services: ServicesDep) -> ChatSession:
    """Return the session whose client secret the request carries; raises 401 and 429."""
    return await _verify(request, services, is_limited=True)


async def get_unlimited_session(request: Request, services: ServicesDep) -> ChatSession:
    """Return the same for what must always work; raises 401."""
    return await _verify(request, services, is_limited=False)


async def _verify(request: Request, services: Services, *, is_limited: bool) -> ChatSession:
    session = await services.sessions.verify(get_secret(request), is_limited=is_limited)
    if session is None:
        audit("session.refused", path=hide_link(request.url.path))
        raise UnauthorizedError("The client secret is unknown, expired or cancelled")
    return session


def get_secret(request: Request) -> str:
    """Return the client secret that the request carries; raises 401."""
    secret = get_bearer(request)
    if not secret:
        audit("session.refused", path=hide_link(request.url.path))
        raise UnauthorizedError("Send a client secret: 'Authorization: Bearer <client_secret>'")
    return secret


def get_bearer(request: Request) -> str:
    """Return the token in the ``Authorization`` header, or an empty string."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


SessionDep = Annotated[ChatSession, Depends(get_session)]
UnlimitedSessionDep = Annotated[ChatSession, Depends(get_unlimited_session)]


def get_context(request: Request, session: ChatSession) -> RequestContext:
    """Return the engine's context for the request: whose it is, and in which language."""
    return RequestContext(
        user_id=session.user_id,
        locale=get_locale(request),
        state=session.state_variables,
        session_id=session.id,
        features=session.features,
        request_id=get_request_id(),
        public_url=get_public_url(request),
    )


def get_public_url(request: Request) -> str:
    """Return where the caller reaches this server: as configured, or as they called it."""
    configured = get_services(request).settings.public_url
    if configured:
        return configured
    scheme = "https" if came_by_https(request.scope["scheme"], request.headers) else "http"
    return f"{scheme}://{request.headers.get('host') or request.url.netloc}"


async def _provide_context(request: Request, session: SessionDep) -> RequestContext:
    return get_context(request, session)


ContextDep = Annotated[RequestContext, Depends(_provide_context)]


def get_locale(request: Request) -> str:
    """Return the first language tag of ``Accept-Language``."""
    first = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()
    plausible = first.replace("-", "").isalnum() and len(first) <= MAX_LOCALE_LENGTH
    return first if plausible else DEFAULT_LOCALE


async def check_origin(request: Request, services: ServicesDep) -> None:
    """Refuse a cross-site browser request to a route that goes by a cookie; raises 403."""
    origin = request.headers.get("origin")
    settings = services.settings
    if origin is not None and (
        origin in settings.cors_origins
        or "*" in settings.cors_origins
        or origin == settings.public_origin
    ):
        return
    if origin is None:
        foreign = request.headers.get("sec-fetch-site") == "cross-site"
    else:
        foreign = origin.partition("://")[2] != request.headers.get("host")
    if foreign:
        raise ForbiddenError(
            "This origin is not allowed; add it to CORS_ORIGINS", event="origin.refused"
        )


SameOriginDep = Depends(check_origin)
