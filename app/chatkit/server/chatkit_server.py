"""``ChatKitServer``: one request in, JSON or a stream of frames out.

Subclass it, implement ``respond``, and hand every request body to ``process``. It knows neither
HTTP nor SQL: any ``Store`` will do. The overridable points are those of openai-chatkit 1.6.5.
"""

import base64
import binascii
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Generic, assert_never, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.chatkit.action_routing.guard import check_action
from app.chatkit.action_routing.router import ActionRouter
from app.chatkit.actions import Action
from app.chatkit.context import RequestContext
from app.chatkit.engine.pipeline import TurnPipeline
from app.chatkit.engine.recent_threads import load_listed_threads
from app.chatkit.engine.thread_changes import to_thread_response
from app.chatkit.engine.turn_opener import TurnOpener, load_sender
from app.chatkit.errors import InvalidRequestError, UnsupportedError
from app.chatkit.old_names import accept_old_keywords
from app.chatkit.protocol.events import StreamOptions, SyncCustomActionResponse, ThreadStreamEvent
from app.chatkit.protocol.items import (
    AssistantMessageItem,
    FeedbackKind,
    Page,
    SDKHiddenContextItem,
    Thread,
    ThreadItem,
    ThreadMetadata,
    UserMessageInput,
    UserMessageItem,
    WidgetItem,
    is_hidden,
    now,
)
from app.chatkit.protocol.own_classes import to_own_attachment
from app.chatkit.protocol.requests import (
    AttachmentsCreateReq,
    AttachmentsDeleteReq,
    AudioInput,
    ChatKitReq,
    InputTranscribeReq,
    ItemsFeedbackReq,
    ItemsListReq,
    NonStreamingReq,
    StreamingReq,
    ThreadsDeleteReq,
    ThreadsGetByIdReq,
    ThreadsListReq,
    ThreadsSyncCustomActionReq,
    ThreadsUpdateReq,
    TranscriptionResult,
    is_streaming_req,
)
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.server.parsing import DEFAULT_PAGE_SIZE, clamp_limit, parse_request
from app.chatkit.server.results import NonStreamingResult, StreamingResult
from app.chatkit.server.seams import refuse_replaced_methods
from app.chatkit.shielding import run_to_completion
from app.chatkit.store import AttachmentStore, Store
from app.chatkit.streaming.pending_items import is_blank

TContext = TypeVar("TContext", default=Any)

STOPPED_NOTE = "The user stopped the previous response. Do not continue it unless asked to."
INTERRUPTED_NOTE = (
    "The previous response was interrupted before its end; the user saw only what is above."
)

logger = logging.getLogger("chatkit")


class ChatKitServer(ABC, Generic[TContext]):
    """Answers ChatKit requests from a store and from what a subclass implements.

    What is not of the official class has a name that begins with ``chatkit_``, so that a subclass
    may call its own what it likes. Only ``actions`` has not: it is told by what it holds.
    """

    actions: ActionRouter[TContext] | None = None
    """Handlers of actions. Without it, ``action`` and ``sync_action`` are for the subclass."""

    chatkit_strict_actions: bool = False
    """Whether a server without a router checks actions as strictly as one that has a router."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_replaced_methods(cls)

    @accept_old_keywords(data_store="store", file_store="attachment_store")
    def __init__(
        self,
        store: Store[TContext],
        attachment_store: AttachmentStore[TContext] | None = None,
    ) -> None:
        self.store = store
        self.attachment_store = attachment_store

    # --- what a subclass provides ----------------------------------------------------------------

    @abstractmethod
    def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: TContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events that answer ``input_user_message``.

        It is None where a client tool or the user's answers to questions continue the turn. Changes
        to ``thread`` (title, status, metadata) are saved and announced as they are noticed.
        """

    def chatkit_get_first_title(self, message: UserMessageItem, context: TContext) -> str | None:
        """Return the title that a thread begins with, stored along with its first message.

        By default it has none until ``respond`` sets one.
        """
        return None

    def action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events that answer an action of a widget, or of the page (no ``sender``).

        By default ``actions`` has the handler. What comes here has passed ``check_action``.
        """
        router = self._chatkit_router()
        if router is None:
            raise UnsupportedError("This server does not offer actions")
        return router.stream(self, thread, action, sender, context)

    async def sync_action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> SyncCustomActionResponse:
        """Answer an action that was declared with ``streaming: false``; see ``action``."""
        router = self._chatkit_router()
        if router is None:
            raise UnsupportedError("This server does not offer synchronous actions")
        return await router.answer(self, thread, action, sender, context)

    def chatkit_check_action(
        self, action: Action[str, Any], sender: WidgetItem | None, *, streaming: bool
    ) -> Action[str, Any]:
        """Return the action as its handler gets it; raise ``UnprocessableError`` for a forged one.

        With a router, a widget's action must be in the stored widget as it was sent, and an action
        of the page itself must be declared for that. Without one, only a changed copy of what the
        widget offers for the server is refused. Override it to allow more, or less.
        """
        router = self._chatkit_router()
        strict = router is not None or self.chatkit_strict_actions
        return check_action(action, sender, router, streaming=streaming, strict=strict)

    def _chatkit_router(self) -> ActionRouter[TContext] | None:
        # A subclass written for the official server may keep anything under so common a name, also
        # what is not to be looked at (a property), or not to be called.
        found: object = inspect.getattr_static(self, "actions", None)
        return cast("ActionRouter[TContext]", found) if isinstance(found, ActionRouter) else None

    async def add_feedback(
        self, thread_id: str, item_ids: list[str], feedback: FeedbackKind, context: TContext
    ) -> None:
        """Take note of a thumb up or down; by default the store keeps it."""
        await self.store.chatkit_save_feedback(thread_id, item_ids, feedback, context)

    async def transcribe(self, audio_input: AudioInput, context: TContext) -> TranscriptionResult:
        """Turn speech into text for the composer."""
        raise UnsupportedError("This server does not offer dictation")

    def get_stream_options(self, thread: ThreadMetadata, context: TContext) -> StreamOptions:
        """Return what the client may do with the stream; by default it may be stopped."""
        return StreamOptions(allow_cancel=True)

    async def handle_stream_cancelled(
        self, thread: ThreadMetadata, pending_items: list[ThreadItem], context: TContext
    ) -> None:
        """Keep the text of pending answers and leave the model a note that it was cut off.

        ``pending_items`` are as the client last saw them; widgets and workflows are not kept.
        """
        try:
            for item in pending_items:
                if isinstance(item, AssistantMessageItem) and not is_blank(item):
                    await self.store.add_thread_item(thread.id, item, context)
        finally:
            interrupted = isinstance(context, RequestContext) and context.interrupted
            note = SDKHiddenContextItem(
                id=self.store.generate_item_id("sdk_hidden_context", thread, context),
                thread_id=thread.id,
                created_at=now(),
                content=INTERRUPTED_NOTE if interrupted else STOPPED_NOTE,
            )
            await self.store.add_thread_item(thread.id, note, context)

    # --- seams that are private with the official package, and overridden all the same ---------

    async def _build_user_message_item(
        self, input: UserMessageInput, thread: ThreadMetadata, context: TContext
    ) -> UserMessageItem:
        """Return the item that a message is stored as, and ``respond`` is called with."""
        return await TurnOpener(self, context).build_user_message(input, thread)

    def _to_thread_response(self, thread: ThreadMetadata) -> Thread:
        """Return what a client gets of ``thread``, in answers and events."""
        return to_thread_response(thread)

    # --- one request -----------------------------------------------------------------------------

    async def process(
        self, request: str | bytes | bytearray, context: TContext
    ) -> StreamingResult | NonStreamingResult:
        """Parse a request body and answer it; see ``chatkit_handle`` for what is raised.

        Its ``metadata`` is put on a ``RequestContext``.
        """
        parsed = parse_request(request)
        if isinstance(context, RequestContext):
            context.metadata = parsed.metadata
        return await self.chatkit_handle(parsed, context)

    async def chatkit_handle(
        self, request: ChatKitReq, context: TContext
    ) -> StreamingResult | NonStreamingResult:
        """Answer a parsed request.

        Raises ``NotFoundError`` and ``RequestRefusedError``; for a streaming request nothing
        happens, and so nothing is raised, before the first step of its iterator.
        """
        logger.debug("request", extra={"request_type": request.type})
        if is_streaming_req(request):
            return StreamingResult(self._chatkit_stream_frames(request, context))
        return NonStreamingResult(await self._chatkit_answer(request, context))

    async def chatkit_open_turn(
        self, request: StreamingReq, context: TContext
    ) -> TurnPipeline[TContext]:
        """Check a streaming request and do its first writes; ``run()`` of the result is the rest.

        The caller makes sure that it is not cancelled between two writes. Raises
        ``NotFoundError`` and ``RequestRefusedError``.
        """
        return TurnPipeline(self, await TurnOpener(self, context).open(request), context)

    async def _chatkit_stream_frames(
        self, request: StreamingReq, context: TContext
    ) -> AsyncGenerator[bytes, None]:
        pipeline = await run_to_completion(self.chatkit_open_turn(request, context))
        async with aclosing(pipeline.run()) as frames:
            async for frame in frames:
                yield frame

    async def _chatkit_answer(self, request: NonStreamingReq, context: TContext) -> bytes:
        match request:
            case ThreadsGetByIdReq():
                return await self._chatkit_get_thread(request.params.thread_id, context)
            case ThreadsListReq():
                return await self._chatkit_list_threads(request, context)
            case ThreadsUpdateReq():
                return await self._chatkit_rename_thread(request, context)
            case ThreadsDeleteReq():
                await self.store.delete_thread(request.params.thread_id, context)
                return b"{}"
            case ItemsListReq():
                params = request.params
                return await self.store.chatkit_load_items_json(
                    params.thread_id, params.after, clamp_limit(params.limit), params.order, context
                )
            case ItemsFeedbackReq():
                params = request.params
                await self.add_feedback(params.thread_id, params.item_ids, params.kind, context)
                return b"{}"
            case AttachmentsCreateReq():
                store = self._chatkit_require_attachment_store()
                created = await store.create_attachment(request.params, context)
                attachment = to_own_attachment(created)
                await self.store.save_attachment(attachment, context)
                return dump_wire(attachment)
            case AttachmentsDeleteReq():
                attachment_id = request.params.attachment_id
                await self._chatkit_require_attachment_store().delete_attachment(
                    attachment_id, context
                )
                await self.store.delete_attachment(attachment_id, context)
                return b"{}"
            case InputTranscribeReq():
                return await self._chatkit_transcribe(request, context)
            case ThreadsSyncCustomActionReq():
                return await self._chatkit_sync_action(request, context)
            case _:
                assert_never(request)

    async def _chatkit_get_thread(self, thread_id: str, context: TContext) -> bytes:
        thread = await self.store.load_thread(thread_id, context)
        items = await self.store.chatkit_load_items_json(
            thread_id, None, DEFAULT_PAGE_SIZE, "asc", context
        )
        if type(self)._to_thread_response is ChatKitServer._to_thread_response:
            return _with_items(to_thread_response(thread), items)
        page = Page[ThreadItem].model_validate_json(items)
        whole = Thread(**thread.model_dump(exclude={"items"}), items=page)
        return dump_wire(self._to_thread_response(whole))

    async def _chatkit_list_threads(self, request: ThreadsListReq, context: TContext) -> bytes:
        params = request.params
        page = await load_listed_threads(self.store, params, clamp_limit(params.limit), context)
        threads = [self._to_thread_response(each) for each in page.data]
        return dump_wire(Page(data=threads, has_more=page.has_more, after=page.after))

    async def _chatkit_rename_thread(self, request: ThreadsUpdateReq, context: TContext) -> bytes:
        thread = await self.store.load_thread(request.params.thread_id, context)
        thread.title = request.params.title
        await self.store.chatkit_save_thread_changes(thread, frozenset({"title"}), context)
        return dump_wire(self._to_thread_response(thread))

    async def _chatkit_transcribe(self, request: InputTranscribeReq, context: TContext) -> bytes:
        params = request.params
        try:
            data = base64.b64decode(params.audio_base64, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequestError(
                "params.audio_base64: not valid base64", field="params.audio_base64"
            ) from None
        result = await self.transcribe(AudioInput(data=data, mime_type=params.mime_type), context)
        return dump_wire(TranscriptionResult.model_validate(result))

    async def _chatkit_sync_action(
        self, request: ThreadsSyncCustomActionReq, context: TContext
    ) -> bytes:
        params = request.params
        thread = await self.store.load_thread(params.thread_id, context)
        sender = await load_sender(self.store, thread, params.item_id, context)
        action = self.chatkit_check_action(params.action, sender, streaming=False)
        given = await self.sync_action(thread, action, sender, context)
        response = SyncCustomActionResponse.model_validate(given)  # of whatever classes it is
        if response.updated_item is not None and is_hidden(response.updated_item):
            response = SyncCustomActionResponse()
        return dump_wire(response)

    def _chatkit_require_attachment_store(self) -> AttachmentStore[TContext]:
        if self.attachment_store is None:
            raise UnsupportedError("This server takes no files: it has no AttachmentStore")
        return self.attachment_store


def _with_items(thread: BaseModel, items: bytes) -> bytes:
    """Return the JSON of a thread response with ``items``, the JSON of a page."""
    return dump_wire(thread, exclude={"items"})[:-1] + b',"items":' + items + b"}"
