"""The public keys of an identity provider: fetched when they are needed, and kept for a while."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, cast

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.errors import UnavailableError

LIFETIME = 600.0
"""After how many seconds keys are fetched again, so that a revoked one stops working."""
COOLDOWN = 15.0
"""How often at most keys are fetched because of a token with an unknown key, in seconds."""
TIMEOUT = httpx.Timeout(5.0, connect=3.0)
MAX_KEYS = 100

logger = logging.getLogger("app.identity")


class JwksKeys:
    """The keys that a URL publishes, by their id.

    A key that is not known makes us look again, but not more often than ``COOLDOWN``: a rotation
    is noticed at once, and made-up key ids are no way to have us flood the provider. While the
    provider is away it is asked as seldom, and the keys that we have go on being used.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return a key, or None; a token that names none means the only one there is.

        Raises ``UnavailableError`` where there are no keys yet and none can be had.
        """
        if self._since(self._fetched_at) > LIFETIME:
            await self._fetch()
        key = self._pick(key_id)
        if key is None:
            await self._fetch()
            key = self._pick(key_id)
        if not self._keys and self._fetched_at is None:
            raise UnavailableError("The identity provider cannot be reached")
        return key

    def _pick(self, key_id: str | None) -> PyJWK | None:
        if key_id is not None:
            return self._keys.get(key_id)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _since(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._clock() - moment

    async def _fetch(self) -> None:
        """Fetch the keys, unless that was tried a moment ago."""
        async with self._fetching:
            if self._since(self._tried_at) <= COOLDOWN:
                return
            self._tried_at = self._clock()
            try:
                async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
                    response = await client.get(self._url)
                response.raise_for_status()
                self._keys = _read_keys(response.json())
                self._fetched_at = self._clock()
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                reason = type(error).__name__
                logger.warning("The provider's keys cannot be had", extra={"reason": reason})


def _read_keys(document: Any) -> dict[str, PyJWK]:
    """Return the keys that can check signatures; a shared secret has no place among them."""
    found: dict[str, PyJWK] = {}
    for place, entry in enumerate(cast("list[object]", document["keys"])[:MAX_KEYS]):
        each = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if each.get("kty") in ("RSA", "EC", "OKP") and each.get("use", "sig") == "sig":
            try:
                found[str(each.get("kid", f"#{place}"))] = PyJWK(each)
            except PyJWTError:
                continue  # of a kind that we do not know
    return found
