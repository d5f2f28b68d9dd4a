"""Runs over HTTP: Stop, and coming back to an answer that is being written."""

from fastapi import APIRouter, Request, Response

from app.api.deps import ContextDep, ServicesDep, UnlimitedSessionDep
from app.api.openapi import FRAME, error_responses
from app.api.streams import RunResponse

router = APIRouter(prefix="/api", tags=["runs"])


@router.post(
    "/runs/{run_id}/cancel",
    summary="Stop an answer",
    status_code=204,
    response_class=Response,
    responses=error_responses(401, 404, 503),
)
async def cancel_run(run_id: str, session: UnlimitedSessionDep, services: ServicesDep) -> Response:
    """Stop a run; what it has written so far is kept. One that has ended is no error.

    It works also when there were too many requests.
    """
    await services.runs.cancel(session.user_id, run_id)
    return Response(status_code=204)


@router.get(
    "/threads/{thread_id}/stream",
    summary="Come back to an answer",
    response_class=Response,
    responses={
        200: {
            "description": "The frames of the answer",
            "content": {"text/event-stream": {"schema": FRAME}},
        },
        204: {"description": "Nothing is being written"},
        **error_responses(401, 404, 429, 503),
    },
)
async def attach(
    thread_id: str, request: Request, context: ContextDep, services: ServicesDep
) -> Response:
    """Continue the answer that is being written in a thread, behind ``Last-Event-ID``.

    204 if nothing is being written. Without ``Last-Event-ID``, or with that of another run, the
    stream begins at the run's first frame. Closing it stops nothing.
    """
    slot = services.streams.open(context.user_id)
    found = None
    try:
        found = await services.runs.attach(
            services.server.store,
            context,
            thread_id=thread_id,
            last_event_id=request.headers.get("last-event-id"),
        )
    finally:
        if found is None:
            slot.release()
    if found is None:
        return Response(status_code=204)
    run_id, frames = found
    return RunResponse(frames, run_id, services.settings, slot)
