"""What a thread holds: items, attachments, tasks, sources, and pages of them.

Names, fields, defaults and value sets are those of ``chatkit.types`` in openai-chatkit 1.6.5. One
deliberate difference: timestamps are aware and in UTC (``Z`` on the wire); a naive value is taken
as local time, which is what the official SDK means by it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, cast

from pydantic import (
    AfterValidator,
    AnyUrl,
    BeforeValidator,
    FailFast,
    Field,
    PlainSerializer,
    SerializationInfo,
    model_serializer,
    model_validator,
)
from typing_extensions import TypeVar

from app.chatkit.icons import IconName
from app.chatkit.old_names import warn_of_old_name
from app.chatkit.protocol.wire_model import WireModel
from app.chatkit.widgets import WidgetRoot


def now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC)


def to_utc(moment: datetime) -> datetime:
    """Return a time in UTC; one without a zone is local time, as ``datetime.now()`` gives it."""
    return moment.astimezone(UTC)


def _write_utc(moment: object) -> object:
    return to_utc(moment) if isinstance(moment, datetime) else moment


# Also as it is written: what is assigned, or copied in, is not validated.
Timestamp = Annotated[
    datetime, AfterValidator(to_utc), PlainSerializer(_write_utc, return_type=datetime)
]


T = TypeVar("T")


class Page(WireModel, Generic[T]):
    """One page of a listing; ``after`` is the cursor of the next page where ``has_more``."""

    data: list[T] = []  # noqa: RUF012
    has_more: bool = False
    after: str | None = None


# --- sources and annotations ---------------------------------------------------------------------


class SourceBase(WireModel):
    """What every source shows to the reader."""

    title: str
    description: str | None = None
    timestamp: str | None = None
    group: str | None = None


class FileSource(SourceBase):
    """A file that an answer rests on."""

    type: Literal["file"] = "file"
    filename: str


class URLSource(SourceBase):
    """A web page that an answer rests on."""

    type: Literal["url"] = "url"
    url: str
    attribution: str | None = None


class EntitySource(SourceBase):
    """Something of the integrator's own (a customer, a ticket) that an answer refers to."""

    type: Literal["entity"] = "entity"
    id: str
    icon: IconName | None = None
    label: str | None = None
    inline_label: str | None = None
    interactive: bool = False
    data: dict[str, Any] = Field(default_factory=dict)
    preview: Literal["lazy"] | None = Field(default=None, deprecated=True)


Source = Annotated[URLSource | FileSource | EntitySource, Field(discriminator="type")]


class Annotation(WireModel):
    """A source attached to a position (``index``, in characters) of an assistant's text."""

    type: Literal["annotation"] = "annotation"
    source: URLSource | FileSource | EntitySource
    index: int | None = None


# --- tasks and workflows -------------------------------------------------------------------------


class BaseTask(WireModel):
    """Fields of every task; the indicator shows only inside a workflow."""

    status_indicator: Literal["none", "loading", "complete"] = "none"


class CustomTask(BaseTask):
    """A step described in the integrator's own words."""

    type: Literal["custom"] = "custom"
    title: str | None = None
    icon: IconName | None = None
    content: str | None = None


class SearchTask(BaseTask):
    """A web search with its queries and what it found."""

    type: Literal["web_search"] = "web_search"
    title: str | None = None
    title_query: str | None = None
    queries: list[str] = Field(default_factory=list)
    sources: list[URLSource] = Field(default_factory=list[URLSource])


class ThoughtTask(BaseTask):
    """A summary of the model's reasoning."""

    type: Literal["thought"] = "thought"
    title: str | None = None
    content: str


class FileTask(BaseTask):
    """Files that were read."""

    type: Literal["file"] = "file"
    title: str | None = None
    sources: list[FileSource] = Field(default_factory=list[FileSource])


class ImageTask(BaseTask):
    """An image that was worked on."""

    type: Literal["image"] = "image"
    title: str | None = None


Task = Annotated[
    CustomTask | SearchTask | ThoughtTask | FileTask | ImageTask, Field(discriminator="type")
]


class CustomSummary(WireModel):
    """A headline for a finished workflow."""

    title: str
    icon: IconName | None = None


class DurationSummary(WireModel):
    """How long a finished workflow took, in whole seconds."""

    duration: int


WorkflowSummary = CustomSummary | DurationSummary


class Workflow(WireModel):
    """A list of tasks shown as one collapsible block."""

    type: Literal["custom", "reasoning"]
    tasks: list[Task]
    summary: WorkflowSummary | None = None
    expanded: bool = False


# --- attachments ---------------------------------------------------------------------------------


class AttachmentUploadDescriptor(WireModel):
    """Where and how the client sends the bytes of a two-phase upload."""

    url: AnyUrl
    method: Literal["POST", "PUT"]
    headers: dict[str, str] = Field(default_factory=dict)


class AttachmentBase(WireModel):
    """Fields of every attachment.

    ``metadata`` belongs to the integrator and never reaches a client: serialise with
    ``context={"exclude_metadata": True}`` to leave it out (``chatkit.types`` has the same switch).
    """

    id: str
    name: str
    mime_type: str
    upload_descriptor: AttachmentUploadDescriptor | None = None
    thread_id: str | None = None
    metadata: dict[str, Any] | None = None

    # Without a return annotation, since that would replace the model's own JSON schema.
    @model_serializer(mode="wrap")
    def _serialize(self, serializer: Callable[[Any], dict[str, Any]], info: SerializationInfo):
        data = serializer(self)
        if info.context and info.context.get("exclude_metadata"):
            data.pop("metadata", None)
        return data


class FileAttachment(AttachmentBase):
    """Any file that is not shown as an image."""

    type: Literal["file"] = "file"


class ImageAttachment(AttachmentBase):
    """An image, with the address of its preview."""

    type: Literal["image"] = "image"
    preview_url: AnyUrl


Attachment = Annotated[FileAttachment | ImageAttachment, Field(discriminator="type")]


# --- message content -----------------------------------------------------------------------------


class UserMessageTextContent(WireModel):
    """Text as the user typed it."""

    type: Literal["input_text"] = "input_text"
    text: str


def _or_empty(value: object) -> object:
    return {} if value is None else value


class UserMessageTagContent(WireModel):
    """An @-mention; ``data`` is what the page attached to it, if anything, and as trustworthy."""

    type: Literal["input_tag"] = "input_tag"
    id: str
    text: str
    data: Annotated[dict[str, Any], BeforeValidator(_or_empty)] = Field(default_factory=dict)
    group: str | None = None
    interactive: bool = False


UserMessageContent = Annotated[
    UserMessageTextContent | UserMessageTagContent, Field(discriminator="type")
]


class ToolChoice(WireModel):
    """The composer tool that the user picked."""

    id: str


class InferenceOptions(WireModel):
    """The composer's tool and model pickers; wishes, to be checked against what is offered."""

    tool_choice: ToolChoice | None = None
    model: str | None = None


class UserMessageInput(WireModel):
    """A user message as the client sends it; ``attachments`` are ids."""

    # One error is enough: collecting those of a million wrong elements takes seconds.
    content: Annotated[list[UserMessageContent], FailFast()]
    attachments: Annotated[list[str], FailFast()]
    quoted_text: str | None = None
    inference_options: InferenceOptions


class AssistantMessageContent(WireModel):
    """One text part of an answer."""

    annotations: list[Annotation] = Field(default_factory=list[Annotation])
    text: str
    type: Literal["output_text"] = "output_text"


# --- structured input ----------------------------------------------------------------------------


class StructuredInputAnswer(WireModel):
    """The recorded answer to one question."""

    values: list[str] = Field(default_factory=list)
    skipped: bool = False


class StructuredInputBase(WireModel):
    """Fields of every question."""

    id: str
    question: str
    answer: StructuredInputAnswer | None = None


class StructuredInputMultipleChoiceOption(WireModel):
    """One suggestion of a multiple-choice question."""

    value: str


class StructuredInputMultipleChoice(StructuredInputBase):
    """A question with suggestions; the user may still answer in their own words."""

    type: Literal["multiple_choice"] = "multiple_choice"
    options: list[StructuredInputMultipleChoiceOption]
    multiple: bool = False


class StructuredInputFreeform(StructuredInputBase):
    """A question answered in free text."""

    type: Literal["freeform"] = "freeform"
    description: str | None = None


StructuredInput = Annotated[
    StructuredInputMultipleChoice | StructuredInputFreeform, Field(discriminator="type")
]


# --- thread items --------------------------------------------------------------------------------


class ThreadItemBase(WireModel):
    """Fields of every item."""

    id: str
    thread_id: str
    created_at: Timestamp


class UserMessageItem(ThreadItemBase):
    """What the user wrote."""

    type: Literal["user_message"] = "user_message"
    content: list[UserMessageContent]
    attachments: list[Attachment] = Field(default_factory=list[Attachment])
    quoted_text: str | None = None
    inference_options: InferenceOptions


class AssistantMessageItem(ThreadItemBase):
    """What the assistant answered."""

    type: Literal["assistant_message"] = "assistant_message"
    content: list[AssistantMessageContent]


class ClientToolCallItem(ThreadItemBase):
    """A tool that runs in the page; pending until ``threads.add_client_tool_output``."""

    type: Literal["client_tool_call"] = "client_tool_call"
    status: Literal["pending", "completed"] = "pending"
    call_id: str
    name: str
    arguments: dict[str, Any]
    output: Any | None = None


class WidgetItem(ThreadItemBase):
    """A widget shown in the thread."""

    type: Literal["widget"] = "widget"
    widget: WidgetRoot
    copy_text: str | None = None


class GeneratedImage(WireModel):
    """An image made by a model."""

    id: str
    url: str


class GeneratedImageItem(ThreadItemBase):
    """A generated image; ``image`` is absent until the first preview."""

    type: Literal["generated_image"] = "generated_image"
    image: GeneratedImage | None = None


class StructuredInputItem(ThreadItemBase):
    """Questions to the user, with their answers once given."""

    type: Literal["structured_input"] = "structured_input"
    status: Literal["pending", "answered", "skipped"] = "pending"
    inputs: list[StructuredInput]


class TaskItem(ThreadItemBase):
    """A single task outside any workflow."""

    type: Literal["task"] = "task"
    task: Task


class WorkflowItem(ThreadItemBase):
    """A workflow shown in the thread."""

    type: Literal["workflow"] = "workflow"
    workflow: Workflow


class EndOfTurnItem(ThreadItemBase):
    """Tells the client that the assistant is done with this turn."""

    type: Literal["end_of_turn"] = "end_of_turn"


class HiddenContextItem(ThreadItemBase):
    """Context for the model at this place of the thread; never reaches a client."""

    type: Literal["hidden_context_item"] = "hidden_context_item"
    content: Any

    @model_validator(mode="before")
    @classmethod
    def _accept_no_thread(cls, data: Any) -> Any:
        """Take a note without a thread's id, as older guides write it: the store knows the id."""
        if isinstance(data, dict) and "thread_id" not in data:
            warn_of_old_name("HiddenContextItem without thread_id", "thread_id=thread.id")
            return {**cast("dict[str, Any]", data), "thread_id": ""}
        return cast("Any", data)


class SDKHiddenContextItem(ThreadItemBase):
    """A note of the engine's own to the model (stopped, interrupted); never reaches a client."""

    type: Literal["sdk_hidden_context"] = "sdk_hidden_context"
    content: str


ThreadItem = Annotated[
    UserMessageItem
    | AssistantMessageItem
    | ClientToolCallItem
    | WidgetItem
    | GeneratedImageItem
    | StructuredInputItem
    | WorkflowItem
    | TaskItem
    | HiddenContextItem
    | SDKHiddenContextItem
    | EndOfTurnItem,
    Field(discriminator="type"),
]

HIDDEN_ITEM_TYPES = frozenset({"hidden_context_item", "sdk_hidden_context"})
"""Item types that never reach a client, in any event or page."""


def is_hidden(item: ThreadItem) -> bool:
    """Return whether ``item`` is for the model only."""
    return item.type in HIDDEN_ITEM_TYPES


# --- threads -------------------------------------------------------------------------------------


class ActiveStatus(WireModel):
    """The thread takes messages."""

    type: Literal["active"] = Field(default="active", frozen=True)


class LockedStatus(WireModel):
    """The thread takes no messages for now."""

    type: Literal["locked"] = Field(default="locked", frozen=True)
    reason: str | None = None


class ClosedStatus(WireModel):
    """The thread takes no messages any more."""

    type: Literal["closed"] = Field(default="closed", frozen=True)
    reason: str | None = None


ThreadStatus = Annotated[ActiveStatus | LockedStatus | ClosedStatus, Field(discriminator="type")]


class ThreadMetadata(WireModel):
    """A thread without its items. ``metadata`` is the integrator's and never leaves the server."""

    title: str | None = None
    id: str
    created_at: Timestamp
    status: ThreadStatus = Field(default_factory=ActiveStatus)
    allowed_image_domains: list[str] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Thread(ThreadMetadata):
    """A thread with a page of its items."""

    items: Page[ThreadItem]


FeedbackKind = Literal["positive", "negative"]
