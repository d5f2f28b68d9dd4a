"""TRACING governs every server: also one of your own, which knows nothing of it."""

from collections.abc import Iterator
from typing import Any

import agents
import pytest
from agents.tracing.traces import NoOpTrace

from app.assistant.server import AssistantServer
from tests.support.application import running_application


class OwnServer(AssistantServer):
    """A server that makes a trace as soon as it can."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.is_traced = not isinstance(agents.trace("Own"), NoOpTrace)


@pytest.fixture
def _tracing_as_it_was() -> Iterator[None]:
    """What the Agents SDK does by default; afterwards, what all tests want."""
    agents.set_tracing_disabled(False)
    yield
    agents.set_tracing_disabled(True)


@pytest.mark.usefixtures("_tracing_as_it_was")
async def test_own_server_is_traced_only_when_the_setting_says_so(database_url: str) -> None:
    name = f"{__name__}:OwnServer"
    for tracing in (False, True, False):
        async with running_application(
            database_url, assistant_server=name, tracing=tracing
        ) as application:
            server = application.services.server
            assert isinstance(server, OwnServer)
            assert server.is_traced is tracing
