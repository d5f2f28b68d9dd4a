"""This backend with everything on; only the agent is the scripted one (``ASSISTANT_SERVER``)."""

from typing import Any

from agents import Model

from app.assistant.server import AssistantServer
from app.providers.paced_model import PacedModel
from benchmarks.scripted import create_agent, read_pace


class BenchmarkAssistant(AssistantServer):
    """The assistant as it is, titles and all, with the agent that every peer has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agent = create_agent(read_pace())
        assert isinstance(agent.model, Model)
        # As the assistant's own models are.
        self.agent = agent.clone(model=PacedModel(agent.model))
