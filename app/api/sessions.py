"""``/api/chatkit/session``: client secrets for the page."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Field

from app.api.deps import SameOriginDep, ServicesDep
from app.errors import UnauthorizedError

router = APIRouter(prefix="/api/chatkit", tags=["sessions"])


class SessionRequest(BaseModel):
    """The secret that the page holds already, if it has one."""

    client_secret: str | None = None


class SessionResponse(BaseModel):
    """A client secret and when it ends, in Unix seconds."""

    client_secret: str = Field(examples=["ck_…"])
    expires_at: int = Field(examples=[1_790_000_000])


@router.post("/session", dependencies=[SameOriginDep])
async def create_session(
    request: Request,
    response: Response,
    services: ServicesDep,
    body: Annotated[SessionRequest | None, Body()] = None,
) -> SessionResponse:
    """Mint a client secret for the caller, and retire the one that it replaces."""
    user_id = await services.identity.identify(request, response)
    if user_id is None:
        raise UnauthorizedError("The caller is not signed in")
    minted = await services.sessions.mint(user_id, ttl=services.settings.session_ttl)
    response.headers["Cache-Control"] = "no-store"
    return SessionResponse(
        client_secret=minted.client_secret, expires_at=int(minted.expires_at.timestamp())
    )
