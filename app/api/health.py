"""Whether the process lives, and whether it can serve."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import ServicesDep
from app.db.readiness import check_database

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """``ok``, or what is wrong."""

    status: str


@router.get("/healthz", summary="Does the process live?")
async def healthz() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get(
    "/readyz", summary="Can it serve?", responses={503: {"model": Health, "description": "Not now"}}
)
async def readyz(response: Response, services: ServicesDep) -> Health:
    """Say whether the database is reachable and migrated, and the replica not shutting down."""
    if services.runs.draining:
        response.status_code = 503
        return Health(status="shutting down")
    check = await check_database(services.pool)
    if check.state != "ok":
        response.status_code = 503
    return Health(status="ok" if check.state == "ok" else check.message)
