"""This backend with everything on; only the agent is the scripted one (``ASSISTANT_SERVER``)."""

from typing import Any

from app.assistant.server import AssistantServer
from benchmarks.scripted import create_agent, read_pace


class BenchmarkAssistant(AssistantServer):
    """The assistant as it is, titles and all, with the agent that every peer has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent = create_agent(read_pace())
