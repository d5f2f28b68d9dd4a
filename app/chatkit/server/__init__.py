"""The server under the official import path (``chatkit.server``).

What can be imported there can be imported here, also what that module merely imports itself.
"""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, assert_never

import agents
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypeVar

from app.chatkit.engine.user_agent import (
    CHAT_COMPLETIONS_HEADERS as chat_completions_headers_override,
)
from app.chatkit.engine.user_agent import RESPONSES_HEADERS as responses_headers_override  # pyright: ignore[reportPrivateUsage]
from app.chatkit.engine.user_agent import agents_sdk_user_agent_override
from app.chatkit.errors import CustomStreamError, StreamError
from app.chatkit.old_names import find_old_name
from app.chatkit.protocol.ids import StoreItemType, default_generate_id
from app.chatkit.server.chatkit_server import (
    DEFAULT_PAGE_SIZE,
    INTERRUPTED_NOTE,
    STOPPED_NOTE,
    ChatKitServer,
    NonStreamingResult,
    StreamingResult,
    logger,
)
from app.chatkit.server.parsing import clamp_limit, parse_request
from app.chatkit.store import AttachmentStore, Store, TContext
from app.chatkit.streaming.widget_diff import diff_widget
from app.chatkit.streaming.widget_stream import stream_widget
from app.chatkit.types import (
    Action,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    AttachmentsCreateReq,
    AttachmentsDeleteReq,
    AudioInput,
    ChatKitReq,
    ClientToolCallItem,
    ErrorCode,
    ErrorEvent,
    FeedbackKind,
    HiddenContextItem,
    InputTranscribeReq,
    ItemsFeedbackReq,
    ItemsListReq,
    NonStreamingReq,
    Page,
    SDKHiddenContextItem,
    StreamingReq,
    StreamOptions,
    StreamOptionsEvent,
    StructuredInputAnswer,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputSubmission,
    SyncCustomActionResponse,
    Thread,
    ThreadCreatedEvent,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadMetadata,
    ThreadsAddClientToolOutputReq,
    ThreadsAddStructuredInputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsDeleteReq,
    ThreadsGetByIdReq,
    ThreadsListReq,
    ThreadsRetryAfterItemReq,
    ThreadsSyncCustomActionReq,
    ThreadStreamEvent,
    ThreadsUpdateReq,
    ThreadUpdatedEvent,
    TranscriptionResult,
    UserMessageInput,
    UserMessageItem,
    WidgetComponent,
    WidgetComponentUpdated,
    WidgetItem,
    WidgetRoot,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
    is_streaming_req,
)
from app.chatkit.widgets import WidgetComponentBase

DEFAULT_ERROR_MESSAGE = "Something went wrong while this answer was written."

if not TYPE_CHECKING:  # what is not there must not be there for a type checker

    def __getattr__(name: str) -> Any:
        return find_old_name(__name__, name)


__all__ = [
    "ABC",
    "DEFAULT_ERROR_MESSAGE",
    "DEFAULT_PAGE_SIZE",
    "INTERRUPTED_NOTE",
    "STOPPED_NOTE",
    "Action",
    "Any",
    "AssistantMessageContent",
    "AssistantMessageContentPartAdded",
    "AssistantMessageContentPartAnnotationAdded",
    "AssistantMessageContentPartDone",
    "AssistantMessageContentPartTextDelta",
    "AssistantMessageItem",
    "AsyncGenerator",
    "AsyncIterable",
    "AsyncIterator",
    "AttachmentStore",
    "AttachmentsCreateReq",
    "AttachmentsDeleteReq",
    "AudioInput",
    "BaseModel",
    "Callable",
    "ChatKitReq",
    "ChatKitServer",
    "ClientToolCallItem",
    "CustomStreamError",
    "ErrorCode",
    "ErrorEvent",
    "FeedbackKind",
    "Generic",
    "HiddenContextItem",
    "InputTranscribeReq",
    "ItemsFeedbackReq",
    "ItemsListReq",
    "NonStreamingReq",
    "NonStreamingResult",
    "Page",
    "SDKHiddenContextItem",
    "Store",
    "StoreItemType",
    "StreamError",
    "StreamOptions",
    "StreamOptionsEvent",
    "StreamingReq",
    "StreamingResult",
    "StructuredInputAnswer",
    "StructuredInputItem",
    "StructuredInputMultipleChoice",
    "StructuredInputSubmission",
    "SyncCustomActionResponse",
    "TContext",
    "Thread",
    "ThreadCreatedEvent",
    "ThreadItem",
    "ThreadItemAddedEvent",
    "ThreadItemDoneEvent",
    "ThreadItemRemovedEvent",
    "ThreadItemReplacedEvent",
    "ThreadItemUpdatedEvent",
    "ThreadMetadata",
    "ThreadStreamEvent",
    "ThreadUpdatedEvent",
    "ThreadsAddClientToolOutputReq",
    "ThreadsAddStructuredInputReq",
    "ThreadsAddUserMessageReq",
    "ThreadsCreateReq",
    "ThreadsCustomActionReq",
    "ThreadsDeleteReq",
    "ThreadsGetByIdReq",
    "ThreadsListReq",
    "ThreadsRetryAfterItemReq",
    "ThreadsSyncCustomActionReq",
    "ThreadsUpdateReq",
    "TranscriptionResult",
    "TypeAdapter",
    "TypeVar",
    "UserMessageInput",
    "UserMessageItem",
    "WidgetComponent",
    "WidgetComponentBase",
    "WidgetComponentUpdated",
    "WidgetItem",
    "WidgetRoot",
    "WidgetRootUpdated",
    "WidgetStreamingTextValueDelta",
    "WorkflowItem",
    "WorkflowTaskAdded",
    "WorkflowTaskUpdated",
    "abstractmethod",
    "agents",
    "agents_sdk_user_agent_override",
    "assert_never",
    "asyncio",
    "base64",
    "chat_completions_headers_override",
    "clamp_limit",
    "contextmanager",
    "datetime",
    "default_generate_id",
    "diff_widget",
    "is_streaming_req",
    "logger",
    "parse_request",
    "responses_headers_override",
    "stream_widget",
]
