"""Hosted mode: the page's sessions are minted by OpenAI, for a workflow that runs there.

The answer to the page is the same as of a session of our own. What OpenAI refuses is said clearly,
but never with the key, nor with anything else of the request.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
from pydantic import BaseModel, Field, ValidationError

from app.audit import audit
from app.errors import RateLimitedError, UpstreamError
from app.settings import Settings

ATTEMPTS = 3
FIRST_WAIT = 0.5
LONGEST_WAIT = 5.0
TIMEOUT = httpx.Timeout(15.0, connect=5.0)

logger = logging.getLogger("app.hosted")


class HostedSession(BaseModel):
    """A session that OpenAI minted; ``expires_at`` is in Unix seconds."""

    id: str | None = None
    client_secret: str = Field(min_length=1)
    expires_at: int


class HostedSessions:
    """Mints sessions at OpenAI; ``aclose`` it at the end."""

    def __init__(
        self,
        workflow_id: str,
        api_key: str,
        *,
        api_base: str,
        ttl: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._workflow_id = workflow_id
        self._ttl = ttl
        self._sleep = sleep
        self._client = httpx.AsyncClient(
            base_url=api_base,
            timeout=TIMEOUT,
            headers={"Authorization": f"Bearer {api_key}", "OpenAI-Beta": "chatkit_beta=v1"},
        )

    async def mint(self, user_id: str) -> HostedSession:
        """Return a new session of ``user_id``; raises ``UpstreamError`` and ``RateLimitedError``.

        Where OpenAI is busy or fails, or cannot be reached, it is asked again after a while.
        """
        response = await self._post(
            {
                "user": user_id,
                "workflow": {"id": self._workflow_id},
                "expires_after": {"anchor": "created_at", "seconds": self._ttl},
            }
        )
        if response.status_code != 200:
            raise _describe(response)
        try:
            session = HostedSession.model_validate_json(response.content)
        except ValidationError:
            raise UpstreamError("OpenAI's answer was not understood") from None
        audit("session.minted", user_id=user_id, session_id=session.id, hosted=True)
        return session

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                response = await self._client.post("/v1/chatkit/sessions", json=body)
            except httpx.HTTPError as error:
                logger.warning("OpenAI was not reached", extra={"reason": type(error).__name__})
                if last:
                    raise UpstreamError("OpenAI cannot be reached. Please try again.") from None
            else:
                if last or not _is_worth_repeating(response.status_code):
                    return response
                wait = _retry_after(response) or wait
            await self._sleep(min(wait, LONGEST_WAIT))
            wait *= 2
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def create_hosted_sessions(settings: Settings) -> HostedSessions | None:
    """Return what mints hosted sessions, if ``CHATKIT_WORKFLOW_ID`` says so."""
    if not settings.chatkit_workflow_id or settings.openai_api_key is None:
        return None
    return HostedSessions(
        settings.chatkit_workflow_id,
        settings.openai_api_key.get_secret_value(),
        api_base=settings.chatkit_api_base,
        ttl=settings.session_ttl,
    )


def _is_worth_repeating(status: int) -> bool:
    return status in (408, 409, 429) or status >= 500


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _describe(response: httpx.Response) -> RateLimitedError | UpstreamError:
    """Return the error for the page; the details are in the log, by OpenAI's code."""
    code = _error_code(response)
    logger.error(
        "OpenAI refused to mint a session", extra={"status": response.status_code, "reason": code}
    )
    if response.status_code == 429:
        wait = _retry_after(response) or LONGEST_WAIT
        return RateLimitedError(
            "OpenAI has too much to do. Please try again.", retry_after=max(math.ceil(wait), 1)
        )
    return UpstreamError(f"OpenAI refused to mint a session ({response.status_code}: {code})")


def _error_code(response: httpx.Response) -> str:
    try:
        error = cast("dict[str, Any]", response.json())["error"]
        code = str(error.get("code") or error.get("type") or "unknown")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "unknown"
    return code if code.replace("_", "").isalnum() and len(code) <= 64 else "unknown"
