"""What a stream carries: ``ThreadStreamEvent`` and the item updates inside it.

Names, fields and defaults are those of ``chatkit.types`` in openai-chatkit 1.6.5.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.chatkit.errors import ErrorCode
from app.chatkit.icons import IconName
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    GeneratedImage,
    Task,
    Thread,
    ThreadItem,
)
from app.chatkit.protocol.wire_model import WireModel
from app.chatkit.widgets import WidgetComponent, WidgetRoot

# --- updates of one item -------------------------------------------------------------------------


class AssistantMessageContentPartAdded(WireModel):
    """A text part begins."""

    type: Literal["assistant_message.content_part.added"] = "assistant_message.content_part.added"
    content_index: int
    content: AssistantMessageContent


class AssistantMessageContentPartTextDelta(WireModel):
    """More text for a part."""

    type: Literal["assistant_message.content_part.text_delta"] = (
        "assistant_message.content_part.text_delta"
    )
    content_index: int
    delta: str


class AssistantMessageContentPartAnnotationAdded(WireModel):
    """A source for a part."""

    type: Literal["assistant_message.content_part.annotation_added"] = (
        "assistant_message.content_part.annotation_added"
    )
    content_index: int
    annotation_index: int
    annotation: Annotation


class AssistantMessageContentPartDone(WireModel):
    """The final state of a part."""

    type: Literal["assistant_message.content_part.done"] = "assistant_message.content_part.done"
    content_index: int
    content: AssistantMessageContent


class WidgetStreamingTextValueDelta(WireModel):
    """More text for a widget's Text or Markdown node; ``done`` ends its streaming."""

    type: Literal["widget.streaming_text.value_delta"] = "widget.streaming_text.value_delta"
    component_id: str
    delta: str
    done: bool


class WidgetRootUpdated(WireModel):
    """The whole widget anew."""

    type: Literal["widget.root.updated"] = "widget.root.updated"
    widget: WidgetRoot


class WidgetComponentUpdated(WireModel):
    """One component of a widget anew."""

    type: Literal["widget.component.updated"] = "widget.component.updated"
    component_id: str
    component: WidgetComponent


class WorkflowTaskAdded(WireModel):
    """A workflow gains a task."""

    type: Literal["workflow.task.added"] = "workflow.task.added"
    task_index: int
    task: Task


class WorkflowTaskUpdated(WireModel):
    """A workflow's task changes."""

    type: Literal["workflow.task.updated"] = "workflow.task.updated"
    task_index: int
    task: Task


class GeneratedImageUpdated(WireModel):
    """A preview of an image; ``progress`` runs from 0 to 1."""

    type: Literal["generated_image.updated"] = "generated_image.updated"
    image: GeneratedImage
    progress: float | None = None


ThreadItemUpdate = (
    AssistantMessageContentPartAdded
    | AssistantMessageContentPartTextDelta
    | AssistantMessageContentPartAnnotationAdded
    | AssistantMessageContentPartDone
    | WidgetStreamingTextValueDelta
    | WidgetComponentUpdated
    | WidgetRootUpdated
    | WorkflowTaskAdded
    | WorkflowTaskUpdated
    | GeneratedImageUpdated
)

# --- events --------------------------------------------------------------------------------------


class ThreadCreatedEvent(WireModel):
    """The first event of ``threads.create``."""

    type: Literal["thread.created"] = "thread.created"
    thread: Thread


class ThreadUpdatedEvent(WireModel):
    """Title, status or metadata of the thread changed."""

    type: Literal["thread.updated"] = "thread.updated"
    thread: Thread


class ThreadItemAddedEvent(WireModel):
    """An item begins; nothing is stored yet."""

    type: Literal["thread.item.added"] = "thread.item.added"
    item: ThreadItem


class ThreadItemUpdatedEvent(WireModel):
    """An item changes."""

    type: Literal["thread.item.updated"] = "thread.item.updated"
    item_id: str
    update: ThreadItemUpdate


ThreadItemUpdated = ThreadItemUpdatedEvent
"""The official package's older name."""


class ThreadItemDoneEvent(WireModel):
    """An item is complete, and stored before this is sent."""

    type: Literal["thread.item.done"] = "thread.item.done"
    item: ThreadItem


class ThreadItemRemovedEvent(WireModel):
    """An item goes."""

    type: Literal["thread.item.removed"] = "thread.item.removed"
    item_id: str


class ThreadItemReplacedEvent(WireModel):
    """A stored item has new content, saved before this is sent."""

    type: Literal["thread.item.replaced"] = "thread.item.replaced"
    item: ThreadItem


class StreamOptions(WireModel):
    """What the client may do with this stream."""

    allow_cancel: bool


class StreamOptionsEvent(WireModel):
    """Announces the stream's options, ahead of the first event of ``respond``."""

    type: Literal["stream_options"] = "stream_options"
    stream_options: StreamOptions


class ProgressUpdateEvent(WireModel):
    """A passing line of what goes on."""

    type: Literal["progress_update"] = "progress_update"
    icon: IconName | None = None
    text: str


class ClientEffectEvent(WireModel):
    """Something for the page to do, fire and forget."""

    type: Literal["client_effect"] = "client_effect"
    name: str
    data: dict[str, Any] = Field(default_factory=dict)


class ErrorEvent(WireModel):
    """The stream failed; ``message`` is shown as it is, a code is localised by the client."""

    type: Literal["error"] = "error"
    code: ErrorCode | Literal["custom"] = Field(default="custom")
    message: str | None = None
    allow_retry: bool = Field(default=False)


class NoticeEvent(WireModel):
    """A banner for the user; ``message`` may hold Markdown."""

    type: Literal["notice"] = "notice"
    level: Literal["info", "warning", "danger"]
    message: str
    title: str | None = None


ThreadStreamEvent = Annotated[
    ThreadCreatedEvent
    | ThreadUpdatedEvent
    | ThreadItemDoneEvent
    | ThreadItemAddedEvent
    | ThreadItemUpdatedEvent
    | ThreadItemRemovedEvent
    | ThreadItemReplacedEvent
    | StreamOptionsEvent
    | ProgressUpdateEvent
    | ClientEffectEvent
    | ErrorEvent
    | NoticeEvent,
    Field(discriminator="type"),
]


class SyncCustomActionResponse(WireModel):
    """The answer to ``threads.sync_custom_action``."""

    updated_item: ThreadItem | None = None
