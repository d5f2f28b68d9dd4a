"""``POST /chatkit``: the ChatKit protocol over HTTP."""

from fastapi import APIRouter, Request, Response

from app.api.deps import BodyDep, ContextDep, Services, ServicesDep
from app.api.streams import STOP_HEADER, RunResponse
from app.chatkit.context import RequestContext
from app.chatkit.requests import StreamingReq, is_streaming_req
from app.chatkit.server import NonStreamingResult, parse_request
from app.errors import UnavailableError

router = APIRouter(tags=["chatkit"])


@router.post("/chatkit", response_class=Response)
async def chatkit(
    request: Request, context: ContextDep, body: BodyDep, services: ServicesDep
) -> Response:
    """Answer one ChatKit request, with JSON or with a stream of Server-Sent Events."""
    parsed = parse_request(body)
    context.metadata = parsed.metadata
    if is_streaming_req(parsed):
        return await _stream(request, parsed, context, services)
    result = await services.server.handle(parsed, context)
    assert isinstance(result, NonStreamingResult)  # noqa: S101 - by the request's type
    return Response(result.json, media_type="application/json")


async def _stream(
    request: Request, parsed: StreamingReq, context: RequestContext, services: Services
) -> Response:
    if services.runs.draining:
        raise UnavailableError("The server is restarting. Please try again.")
    run = services.runs.start(services.server, parsed, context)
    await run.opened()
    explicit = request.headers.get(STOP_HEADER, "").lower() == "explicit"
    return RunResponse(
        services.runs.read(run, stop_is_explicit=explicit), run.id, services.settings
    )
