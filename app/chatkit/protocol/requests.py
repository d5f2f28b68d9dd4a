"""What a client asks: the request union and its parameters.

Names, fields and defaults are those of ``chatkit.types`` in openai-chatkit 1.6.5. Unknown fields
are ignored, as the official models do. The one parser of the process is built at import.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, FailFast, Field, TypeAdapter
from typing_extensions import TypeIs

from app.chatkit.actions import Action
from app.chatkit.protocol.items import FeedbackKind, UserMessageInput
from app.chatkit.protocol.wire_model import WireModel


class BaseReq(BaseModel):
    """Fields of every request; ``metadata`` is the integrator's."""

    metadata: dict[str, Any] = Field(default_factory=dict)


# --- parameters ----------------------------------------------------------------------------------


class ThreadGetByIdParams(BaseModel):
    """Which thread to read."""

    thread_id: str


class ThreadCreateParams(BaseModel):
    """The first message of a new thread."""

    input: UserMessageInput


class ThreadListParams(BaseModel):
    """A page of the caller's threads; ``limit`` null or 0 means the default."""

    limit: int | None = None
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class ThreadAddUserMessageParams(BaseModel):
    """A further message."""

    input: UserMessageInput
    thread_id: str


class ThreadAddClientToolOutputParams(BaseModel):
    """What a client tool returned: any JSON."""

    thread_id: str
    result: Any


class StructuredInputAnswerSubmission(BaseModel):
    """A submitted answer to one question."""

    values: Annotated[list[str], FailFast()] = Field(default_factory=list)
    skipped: bool = False


class StructuredInputSubmission(BaseModel):
    """Submitted answers by question id."""

    status: Literal["answered", "skipped"] = "answered"
    answers: dict[str, StructuredInputAnswerSubmission] = Field(
        default_factory=dict[str, StructuredInputAnswerSubmission]
    )


class ThreadAddStructuredInputParams(BaseModel):
    """Answers to a pending structured input item."""

    thread_id: str
    item_id: str
    input: StructuredInputSubmission


class ThreadCustomActionParams(BaseModel):
    """An action, from the widget ``item_id`` or (without one) from the page itself."""

    thread_id: str
    item_id: str | None = None
    action: Action[str, Any]


class ThreadRetryAfterItemParams(BaseModel):
    """The user message to answer again."""

    thread_id: str
    item_id: str


class ItemFeedbackParams(BaseModel):
    """Thumbs up or down for items."""

    thread_id: str
    item_ids: Annotated[list[str], FailFast()]
    kind: FeedbackKind


class AttachmentDeleteParams(BaseModel):
    """Which attachment goes."""

    attachment_id: str


class AttachmentCreateParams(BaseModel):
    """What the client says of a file before it sends it; ``size`` in bytes."""

    name: str
    size: int
    mime_type: str


class InputTranscribeParams(BaseModel):
    """Recorded speech, e.g. ``audio/webm;codecs=opus``."""

    audio_base64: str
    mime_type: str


class ItemsListParams(BaseModel):
    """A page of a thread's items; ``limit`` null or 0 means the default."""

    thread_id: str
    limit: int | None = None
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class ThreadUpdateParams(BaseModel):
    """A new title."""

    thread_id: str
    title: str


class ThreadDeleteParams(BaseModel):
    """Which thread goes."""

    thread_id: str


# --- dictation -----------------------------------------------------------------------------------


class AudioInput(BaseModel):
    """Decoded speech for ``transcribe``."""

    data: bytes
    mime_type: str

    @property
    def media_type(self) -> str:
        """The type without its parameters, e.g. ``audio/webm``."""
        return self.mime_type.split(";", 1)[0]


class TranscriptionResult(WireModel):
    """What was said."""

    text: str


# --- requests answered by a stream ---------------------------------------------------------------


class ThreadsCreateReq(BaseReq):
    """Start a thread."""

    type: Literal["threads.create"] = "threads.create"
    params: ThreadCreateParams


class ThreadsAddUserMessageReq(BaseReq):
    """Go on in a thread."""

    type: Literal["threads.add_user_message"] = "threads.add_user_message"
    params: ThreadAddUserMessageParams


class ThreadsAddClientToolOutputReq(BaseReq):
    """Hand in a client tool's result."""

    type: Literal["threads.add_client_tool_output"] = "threads.add_client_tool_output"
    params: ThreadAddClientToolOutputParams


class ThreadsAddStructuredInputReq(BaseReq):
    """Answer a structured input."""

    type: Literal["threads.add_structured_input"] = "threads.add_structured_input"
    params: ThreadAddStructuredInputParams


class ThreadsRetryAfterItemReq(BaseReq):
    """Answer a user message again; everything behind it goes."""

    type: Literal["threads.retry_after_item"] = "threads.retry_after_item"
    params: ThreadRetryAfterItemParams


class ThreadsCustomActionReq(BaseReq):
    """Run an action."""

    type: Literal["threads.custom_action"] = "threads.custom_action"
    params: ThreadCustomActionParams


# --- requests answered by JSON -------------------------------------------------------------------


class ThreadsGetByIdReq(BaseReq):
    """Read a thread with its first items."""

    type: Literal["threads.get_by_id"] = "threads.get_by_id"
    params: ThreadGetByIdParams


class ThreadsListReq(BaseReq):
    """List threads."""

    type: Literal["threads.list"] = "threads.list"
    params: ThreadListParams


class ItemsListReq(BaseReq):
    """List a thread's items."""

    type: Literal["items.list"] = "items.list"
    params: ItemsListParams


class ItemsFeedbackReq(BaseReq):
    """Rate items."""

    type: Literal["items.feedback"] = "items.feedback"
    params: ItemFeedbackParams


class AttachmentsCreateReq(BaseReq):
    """Register an upload."""

    type: Literal["attachments.create"] = "attachments.create"
    params: AttachmentCreateParams


class AttachmentsDeleteReq(BaseReq):
    """Delete an attachment."""

    type: Literal["attachments.delete"] = "attachments.delete"
    params: AttachmentDeleteParams


class ThreadsUpdateReq(BaseReq):
    """Rename a thread."""

    type: Literal["threads.update"] = "threads.update"
    params: ThreadUpdateParams


class ThreadsDeleteReq(BaseReq):
    """Delete a thread."""

    type: Literal["threads.delete"] = "threads.delete"
    params: ThreadDeleteParams


class InputTranscribeReq(BaseReq):
    """Turn speech into text."""

    type: Literal["input.transcribe"] = "input.transcribe"
    params: InputTranscribeParams


class ThreadsSyncCustomActionReq(BaseReq):
    """Run an action that answers at once and never touches a run."""

    type: Literal["threads.sync_custom_action"] = "threads.sync_custom_action"
    params: ThreadCustomActionParams


StreamingReq = (
    ThreadsCreateReq
    | ThreadsAddUserMessageReq
    | ThreadsAddClientToolOutputReq
    | ThreadsAddStructuredInputReq
    | ThreadsRetryAfterItemReq
    | ThreadsCustomActionReq
)

NonStreamingReq = (
    ThreadsGetByIdReq
    | ThreadsListReq
    | ItemsListReq
    | ItemsFeedbackReq
    | AttachmentsCreateReq
    | AttachmentsDeleteReq
    | ThreadsUpdateReq
    | ThreadsDeleteReq
    | InputTranscribeReq
    | ThreadsSyncCustomActionReq
)

ChatKitReq = Annotated[StreamingReq | NonStreamingReq, Field(discriminator="type")]

_STREAMING_TYPES = (
    ThreadsCreateReq,
    ThreadsAddUserMessageReq,
    ThreadsAddClientToolOutputReq,
    ThreadsAddStructuredInputReq,
    ThreadsRetryAfterItemReq,
    ThreadsCustomActionReq,
)

REQUEST_ADAPTER: TypeAdapter[ChatKitReq] = TypeAdapter(ChatKitReq)
"""Parses a request; building it costs milliseconds, so there is one per process."""


def is_streaming_req(request: ChatKitReq) -> TypeIs[StreamingReq]:
    """Return whether ``request`` is answered by a stream."""
    return isinstance(request, _STREAMING_TYPES)
