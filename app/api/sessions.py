"""``/api/chatkit/session``: client secrets for the page."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Field

from app.api.deps import SameOriginDep, ServicesDep, get_secret
from app.api.openapi import error_responses
from app.audit import audit
from app.errors import UnauthorizedError

router = APIRouter(prefix="/api/chatkit", tags=["sessions"])


class SessionRequest(BaseModel):
    """The secret that the page holds already, if it has one."""

    client_secret: str | None = Field(default=None, max_length=4096, examples=["ck_…"])


class SessionResponse(BaseModel):
    """A client secret and when it ends, in Unix seconds."""

    client_secret: str = Field(examples=["ck_…"])
    expires_at: int = Field(examples=[1_790_000_000])


@router.post(
    "/session",
    summary="Mint a client secret",
    dependencies=[SameOriginDep],
    responses=error_responses(400, 401, 403, 408, 413, 429, 502, 503),
)
async def create_session(
    request: Request,
    response: Response,
    services: ServicesDep,
    body: Annotated[SessionRequest | None, Body()] = None,
) -> SessionResponse:
    """Mint a client secret for the caller.

    A secret that is sent along, valid or just expired, hands on its session's configuration and is
    retired, if it is the caller's own.
    """
    user_id = await services.identity.identify(request, response)
    if user_id is None:
        audit("identity.refused", path=request.url.path)
        raise UnauthorizedError("The caller is not signed in")
    response.headers["Cache-Control"] = "no-store"
    await services.sessions.count(user_id)
    if services.hosted is not None:
        hosted = await services.hosted.mint(user_id)
        return SessionResponse(client_secret=hosted.client_secret, expires_at=hosted.expires_at)
    minted = await services.sessions.mint(
        user_id,
        ttl=services.settings.session_ttl,
        replaces=body.client_secret if body else None,
    )
    return SessionResponse(
        client_secret=minted.client_secret, expires_at=int(minted.expires_at.timestamp())
    )


@router.post(
    "/session/cancel",
    summary="End a session",
    status_code=204,
    response_class=Response,
    responses=error_responses(401, 503),
)
async def cancel_session(request: Request, services: ServicesDep) -> Response:
    """End the session whose client secret the request carries, at sign-out for example."""
    if not await services.sessions.cancel(get_secret(request)):
        audit("session.refused", path=request.url.path)
        raise UnauthorizedError("The client secret is unknown, expired or cancelled")
    return Response(status_code=204)
