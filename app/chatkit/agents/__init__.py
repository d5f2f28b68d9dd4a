"""The Agents SDK bridge under the official import path (``chatkit.agents``)."""

from app.chatkit.agents.context import AgentContext, ClientToolCall
from app.chatkit.agents.item_converter import ThreadItemConverter, simple_to_agent_input
from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.agents.stream import stream_agent_response
from app.chatkit.streaming.widget_stream import accumulate_text, stream_widget

__all__ = [
    "AgentContext",
    "ClientToolCall",
    "ResponseStreamConverter",
    "ThreadItemConverter",
    "accumulate_text",
    "simple_to_agent_input",
    "stream_agent_response",
    "stream_widget",
]
