"""The application in this process: the real one, on a real database, without sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app import main
from app.api.deps import Services
from tests.support.databases import settings_for

BASE_URL = "http://chat.example"


class Application:
    """A running application; ``client()`` speaks to it from an address of choice."""

    def __init__(self, app: FastAPI, state: dict[str, Any]) -> None:
        self.app = app
        self._state = state

    @property
    def services(self) -> Services:
        """What it is made of."""
        return self._state["services"]

    def client(self, address: str = "203.0.113.9", **options: Any) -> httpx.AsyncClient:
        """Return a client whose requests come from ``address``."""

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope | {"state": dict(self._state)}, receive, send)

        transport = httpx.ASGITransport(with_state, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url=BASE_URL, **options)


@asynccontextmanager
async def running_application(database_url: str, **settings: Any) -> AsyncIterator[Application]:
    """Run the application with these settings; logs stay where the test can see them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "configure_logging", lambda _: None)
        app = main.create_app(settings_for(database_url, **settings))
    async with app.router.lifespan_context(app) as state:
        yield Application(app, dict(state or {}))
