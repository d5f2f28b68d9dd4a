"""``POST /chatkit``: the ChatKit protocol over HTTP."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.api.bounded_bodies import read_body
from app.api.deletions import following_deletion
from app.api.deps import Services, get_context, get_services, get_session
from app.api.openapi import CHATKIT_ERROR_RESPONSES
from app.api.streams import STOP_HEADER, RunResponse
from app.audit import audit
from app.auth.sessions import ChatSession
from app.chatkit.context import RequestContext
from app.chatkit.errors import TooManyRunsError
from app.chatkit.protocol.requests import (
    AttachmentsCreateReq,
    StreamingReq,
    is_streaming_req,
)
from app.chatkit.server import NonStreamingResult, parse_request
from app.errors import ForbiddenError, RateLimitedError, UnavailableError

RUNNING_RETRY_AFTER = 5
"""After how many seconds it is worth asking whether an answer has finished."""


class DirectRoute(APIRoute):
    """Hands its endpoint the request as it came: solving dependencies would cost more than auth."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint, which takes a request and returns a response."""
        return self.endpoint


router = APIRouter(tags=["chatkit"], route_class=DirectRoute)


@router.post("/chatkit", response_class=Response, responses=CHATKIT_ERROR_RESPONSES)
async def chatkit(request: Request) -> Response:
    """Answer one ChatKit request, with JSON or with a stream of Server-Sent Events."""
    services = get_services(request)
    session = await get_session(request, services)
    settings = services.settings
    body = await read_body(request, settings.max_request_bytes, settings.request_body_timeout)
    parsed = parse_request(body, services.limits)
    context = get_context(request, session)
    context.metadata = parsed.metadata
    if isinstance(parsed, AttachmentsCreateReq) and not session.features.uploads:
        raise ForbiddenError("Files cannot be sent in this session")
    if is_streaming_req(parsed):
        _check_running(session, services)
        return await _stream(request, parsed, context, services)
    async with following_deletion(parsed, context, services, session_id=context.session_id):
        result = await services.server.chatkit_handle(parsed, context)
    assert isinstance(result, NonStreamingResult)  # noqa: S101 - by the request's type
    return Response(result.json, media_type="application/json")


async def _stream(
    request: Request, parsed: StreamingReq, context: RequestContext, services: Services
) -> Response:
    if services.runs.draining:
        raise UnavailableError("The server is restarting. Please try again.")
    slot = services.streams.open(context.user_id)
    run = services.runs.start(services.server, parsed, context)
    try:
        await run.opened()
    except BaseException as error:
        slot.release()
        if isinstance(error, TooManyRunsError):  # several began at once, here or elsewhere
            raise _too_many(context.user_id, context.session_id) from None
        raise
    explicit = request.headers.get(STOP_HEADER, "").lower() == "explicit"
    frames = services.runs.read(run, stop_is_explicit=explicit)
    return RunResponse(frames, run.id, services.settings, slot)


def _check_running(session: ChatSession, services: Services) -> None:
    """Raise 429 where as many answers are being written for the user as are allowed.

    This spares a request that is one too many the work; that several do not begin at once, the
    store sees to.
    """
    allowed = services.settings.user_concurrent_runs
    here = services.runs.count_running(session.user_id)
    if allowed and max(session.running, here) >= allowed:
        raise _too_many(session.user_id, session.id)


def _too_many(user_id: str, session_id: str | None) -> RateLimitedError:
    audit("rate_limited", user_id=user_id, session_id=session_id, limit="user_concurrent_runs")
    return RateLimitedError(
        "Too many answers are being written for you. Please wait until one is finished.",
        retry_after=RUNNING_RETRY_AFTER,
    )
