"""The Agents SDK bridge under the official import path (``chatkit.agents``).

What can be imported there can be imported here, also what that module merely imports itself.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, assert_never, cast

from agents import (
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    RunResultStreaming,
    StreamEvent,
    TResponseInputItem,
)
from openai.types.responses import (
    EasyInputMessageParam,
    ResponseFunctionToolCall,
    ResponseFunctionToolCallParam,
    ResponseInputContentParam,
    ResponseInputImageParam,
    ResponseInputMessageContentListParam,
    ResponseInputTextParam,
    ResponseOutputText,
)
from openai.types.responses.response_input_item_param import FunctionCallOutput, Message
from openai.types.responses.response_output_message import Content
from openai.types.responses.response_output_text import Annotation as ResponsesAnnotation
from openai.types.responses.response_output_text import (
    AnnotationContainerFileCitation,
    AnnotationFileCitation,
    AnnotationURLCitation,
)
from pydantic import BaseModel, ConfigDict, SkipValidation, TypeAdapter

from app.chatkit.agents.context import AgentContext, ClientToolCall
from app.chatkit.agents.item_converter import ThreadItemConverter, simple_to_agent_input
from app.chatkit.agents.reasoning import StreamingThoughtTracker
from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.agents.stream import stream_agent_response
from app.chatkit.old_names import find_old_name
from app.chatkit.protocol.ids import StoreItemType
from app.chatkit.store import Store, TContext
from app.chatkit.streaming.widget_stream import TWidget, accumulate_text, stream_widget
from app.chatkit.types import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    Attachment,
    ClientToolCallItem,
    DurationSummary,
    EndOfTurnItem,
    FileSource,
    GeneratedImage,
    GeneratedImageItem,
    GeneratedImageUpdated,
    HiddenContextItem,
    SDKHiddenContextItem,
    StructuredInputItem,
    Task,
    TaskItem,
    ThoughtTask,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    URLSource,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetItem,
    WidgetRoot,
    Workflow,
    WorkflowItem,
    WorkflowSummary,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.widgets import Markdown, Text

T1 = TypeVar("T1")
T2 = TypeVar("T2")

if not TYPE_CHECKING:  # what is not there must not be there for a type checker

    def __getattr__(name: str) -> Any:
        return find_old_name(__name__, name)


__all__ = [
    "T1",
    "T2",
    "AgentContext",
    "Annotated",
    "Annotation",
    "AnnotationContainerFileCitation",
    "AnnotationFileCitation",
    "AnnotationURLCitation",
    "Any",
    "AssistantMessageContent",
    "AssistantMessageContentPartAdded",
    "AssistantMessageContentPartAnnotationAdded",
    "AssistantMessageContentPartDone",
    "AssistantMessageContentPartTextDelta",
    "AssistantMessageItem",
    "AsyncGenerator",
    "AsyncIterator",
    "Attachment",
    "BaseModel",
    "ClientToolCall",
    "ClientToolCallItem",
    "ConfigDict",
    "Content",
    "DurationSummary",
    "EasyInputMessageParam",
    "EndOfTurnItem",
    "FileSource",
    "FunctionCallOutput",
    "GeneratedImage",
    "GeneratedImageItem",
    "GeneratedImageUpdated",
    "Generic",
    "HiddenContextItem",
    "InputGuardrailTripwireTriggered",
    "Markdown",
    "Message",
    "OutputGuardrailTripwireTriggered",
    "ResponseFunctionToolCall",
    "ResponseFunctionToolCallParam",
    "ResponseInputContentParam",
    "ResponseInputImageParam",
    "ResponseInputMessageContentListParam",
    "ResponseInputTextParam",
    "ResponseOutputText",
    "ResponseStreamConverter",
    "ResponsesAnnotation",
    "RunResultStreaming",
    "SDKHiddenContextItem",
    "Sequence",
    "SkipValidation",
    "Store",
    "StoreItemType",
    "StreamEvent",
    "StreamingThoughtTracker",
    "StructuredInputItem",
    "TContext",
    "TResponseInputItem",
    "TWidget",
    "Task",
    "TaskItem",
    "Text",
    "ThoughtTask",
    "ThreadItem",
    "ThreadItemAddedEvent",
    "ThreadItemConverter",
    "ThreadItemDoneEvent",
    "ThreadItemRemovedEvent",
    "ThreadItemUpdatedEvent",
    "ThreadMetadata",
    "ThreadStreamEvent",
    "TypeAdapter",
    "TypeVar",
    "URLSource",
    "UserMessageItem",
    "UserMessageTagContent",
    "UserMessageTextContent",
    "WidgetItem",
    "WidgetRoot",
    "Workflow",
    "WorkflowItem",
    "WorkflowSummary",
    "WorkflowTaskAdded",
    "WorkflowTaskUpdated",
    "accumulate_text",
    "assert_never",
    "asyncio",
    "cast",
    "cleandoc",
    "datetime",
    "defaultdict",
    "json",
    "simple_to_agent_input",
    "stream_agent_response",
    "stream_widget",
]
