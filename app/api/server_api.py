"""``/v1/chatkit``: the server API that OpenAI hosts, for the integrator's own servers.

``OpenAI(base_url="https://chat.example/v1", api_key=...).beta.chatkit`` speaks to it unchanged.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from app.api.deletions import following_deletion
from app.api.deps import Services, ServicesDep, get_bearer, get_public_url
from app.api.openapi import error_responses
from app.api.server_objects import (
    DeletedThread,
    ErrorBody,
    ItemList,
    SessionCreate,
    SessionObject,
    ThreadList,
    ThreadObject,
    item_object,
    session_object,
    thread_object,
)
from app.audit import audit
from app.chatkit.context import RequestContext
from app.chatkit.errors import InvalidRequestError, NotFoundError
from app.chatkit.protocol.requests import ThreadDeleteParams, ThreadsDeleteReq
from app.db.server_api_threads import Cursor, Order, ServerApiThreads
from app.errors import UnauthorizedError, describe_error
from app.observability import get_request_id

UNLIMITED = 1_000_000
"""What is said of a session without a limit: the client's types demand a number."""

_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ServerApiRoute(APIRoute):
    """A route whose errors have the shape of OpenAI's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, with its errors translated."""
        handle = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                return to_openai_error(describe_error(error))

        return handle_errors


def to_openai_error(answer: JSONResponse) -> JSONResponse:
    """Return an error response of ours as OpenAI's API writes it."""
    error = json.loads(bytes(answer.body))["error"]
    status = answer.status_code
    usual = "server_error" if status >= 500 else "invalid_request_error"
    details = {
        "message": error["message"],
        "type": _ERROR_TYPES.get(status, usual),
        "param": error.get("field"),
        "code": error["code"],
        "request_id": error["request_id"],
    }
    kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    return JSONResponse({"error": details}, status_code=status, headers=kept)


_KEPT_HEADERS = ("Retry-After", "WWW-Authenticate")


async def get_server_key(request: Request, services: ServicesDep) -> str:
    """Return the name of the server key that the request carries; raises 401."""
    name = services.server_keys.find(get_bearer(request))
    if name is None:
        audit("server_key.refused", path=request.url.path)
        raise UnauthorizedError("The server API key is missing or wrong (see SERVER_API_KEYS)")
    return name


ServerKeyDep = Annotated[str, Depends(get_server_key)]


async def get_threads(services: ServicesDep) -> ServerApiThreads:
    """Return what reads across owners."""
    return ServerApiThreads(services.database, services.uploads.urls)


ThreadsDep = Annotated[ServerApiThreads, Depends(get_threads)]


async def get_cursor(
    order: Order = "desc",
    after: Annotated[str | None, Query(description="The id that the page comes after.")] = None,
    before: Annotated[str | None, Query(description="The id that the page comes before.")] = None,
) -> Cursor:
    """Return where the page is; raises 400 where it would be in two places."""
    if after and before:
        raise InvalidRequestError("before: cannot be combined with after", field="before")
    return Cursor(order, after or None, before or None)


CursorDep = Annotated[Cursor, Depends(get_cursor)]
LimitParam = Annotated[int, Query(ge=0, le=100)]

router = APIRouter(
    prefix="/v1/chatkit",
    tags=["server API"],
    route_class=ServerApiRoute,
    # The key comes first: whoever has none learns nothing of what is wrong with the rest.
    dependencies=[Depends(get_server_key)],
    responses=error_responses(400, 401, 408, 413, 503, model=ErrorBody),
)
NOT_FOUND = error_responses(404, model=ErrorBody)


@router.post("/sessions", summary="Mint a session")
async def create_session(
    body: SessionCreate, key: ServerKeyDep, services: ServicesDep
) -> SessionObject:
    """Mint a session for a user, with what it may do."""
    requests = body.rate_limits.max_requests_per_1_minute
    minted = await services.sessions.mint(
        body.user,
        ttl=body.ttl,
        requests=requests,
        configuration=body.configuration,
        server_key=key,
    )
    return session_object(
        minted.id,
        user=body.user,
        status="active",
        secret=minted.client_secret,
        expires_at=minted.expires_at,
        requests=requests or _usual_requests(services),
        configuration=body.configuration,
    )


@router.post("/sessions/{session_id}/cancel", summary="End a session", responses=NOT_FOUND)
async def cancel_session(
    session_id: str, key: ServerKeyDep, services: ServicesDep
) -> SessionObject:
    """End a session. It is over on all replicas at once."""
    ended = await services.sessions.cancel_by_id(session_id, server_key=key)
    if ended is None:
        raise NotFoundError(f"Session {session_id} not found")
    requests: int | None = json.loads(ended.limits).get("max_requests_per_1_minute")
    return session_object(
        ended.id,
        user=ended.user_id,
        status=ended.status,
        secret="",
        expires_at=ended.expires_at,
        requests=requests or _usual_requests(services),
        configuration=ended.configuration,
    )


@router.get("/threads", summary="List threads", responses=NOT_FOUND)
async def list_threads(
    threads: ThreadsDep, cursor: CursorDep, user: str | None = None, limit: LimitParam = 20
) -> ThreadList:
    """List the threads of a user, or of all of them."""
    page, more = await threads.list_threads(user, cursor, limit or 20)
    data = [thread_object(each) for each in page]
    return ThreadList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=more,
    )


@router.get("/threads/{thread_id}", summary="Read a thread", responses=NOT_FOUND)
async def get_thread(thread_id: str, threads: ThreadsDep) -> ThreadObject:
    """Return a thread."""
    return thread_object(await threads.find(thread_id))


@router.delete("/threads/{thread_id}", summary="Delete a thread", responses=NOT_FOUND)
async def delete_thread(
    thread_id: str, key: ServerKeyDep, threads: ThreadsDep, services: ServicesDep
) -> DeletedThread:
    """Delete a thread with its items and files."""
    thread = await threads.find(thread_id)
    request = ThreadsDeleteReq(params=ThreadDeleteParams(thread_id=thread.id))
    context = RequestContext(user_id=thread.user_id, request_id=get_request_id())
    async with following_deletion(request, context, services, server_key=key):
        await services.server.chatkit_handle(request, context)
    return DeletedThread(id=thread.id)


@router.get("/threads/{thread_id}/items", summary="List items", responses=NOT_FOUND)
async def list_items(
    request: Request,
    thread_id: str,
    threads: ThreadsDep,
    cursor: CursorDep,
    limit: LimitParam = 20,
) -> ItemList:
    """List the items of a thread that the API has objects for."""
    public_url = get_public_url(request)
    page, more = await threads.list_items(thread_id, cursor, limit or 20, public_url=public_url)
    data = [item_object(each) for each in page]
    return ItemList(
        data=data,
        first_id=data[0]["id"] if data else None,
        last_id=data[-1]["id"] if data else None,
        has_more=more,
    )


def _usual_requests(services: Services) -> int:
    return services.settings.session_requests_per_minute or UNLIMITED
