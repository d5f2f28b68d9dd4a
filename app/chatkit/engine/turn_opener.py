"""How each streaming request begins: check it, do its first writes, say what responds to it.

Nothing is written before everything that the request names has been found and allowed, so a
refused request leaves nothing behind; and nothing is yielded before the writes, so a failure here
is still an HTTP error.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Generic, Protocol, assert_never, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.chatkit.actions import Action
from app.chatkit.context import RequestContext
from app.chatkit.engine.pipeline import Turn
from app.chatkit.errors import InvalidRequestError, ThreadConflictError, UnprocessableError
from app.chatkit.old_names import takes_tool_outputs
from app.chatkit.protocol.events import (
    ThreadCreatedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadStreamEvent,
)
from app.chatkit.protocol.held_calls import HeldCalls, hold_calls, read_held_calls
from app.chatkit.protocol.items import (
    Attachment,
    ClientToolCallItem,
    Page,
    StructuredInputAnswer,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    Thread,
    ThreadItem,
    ThreadMetadata,
    UserMessageInput,
    UserMessageItem,
    WidgetItem,
    is_hidden,
    now,
)
from app.chatkit.protocol.requests import (
    StreamingReq,
    StructuredInputSubmission,
    ThreadsAddClientToolOutputReq,
    ThreadsAddStructuredInputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsRetryAfterItemReq,
)
from app.chatkit.responder import Responder
from app.chatkit.store import AttachmentStore, Store

TContext = TypeVar("TContext", default=Any)

RECENT_ITEMS = 20
"""How far back a pending client tool call is looked for, in items (as in the official SDK)."""


class TurnHandlers(Responder[TContext], Protocol[TContext]):
    """What opening a turn needs of the server that it belongs to."""

    attachment_store: AttachmentStore[TContext] | None

    def chatkit_get_first_title(self, message: UserMessageItem, context: TContext) -> str | None:
        """Return the title that a thread begins with."""
        ...

    async def _build_user_message_item(
        self, input: UserMessageInput, thread: ThreadMetadata, context: TContext
    ) -> UserMessageItem:
        """Return the item for a message."""
        ...

    def _to_thread_response(self, thread: ThreadMetadata) -> Thread:
        """Return what a client may see of a thread."""
        ...

    def action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events of an action."""
        ...

    def chatkit_check_action(
        self, action: Action[str, Any], sender: WidgetItem | None, *, streaming: bool
    ) -> Action[str, Any]:
        """Return the action for its handler; raise ``UnprocessableError`` for a forged one."""
        ...


class TurnOpener(Generic[TContext]):
    """Opens the turn of a streaming request; one method per kind of request."""

    def __init__(self, server: TurnHandlers[TContext], context: TContext) -> None:
        self._server = server
        self._store = server.store
        self._context = context

    async def open(self, request: StreamingReq) -> Turn:
        """Return the opened turn.

        Raises ``NotFoundError`` (thread, item or attachment), ``ThreadConflictError`` (locked,
        closed, answered already) or ``UnprocessableError`` (an item or content of a wrong kind).
        """
        match request:
            case ThreadsCreateReq():
                return await self._create_thread(request)
            case ThreadsAddUserMessageReq():
                return await self._add_user_message(request)
            case ThreadsAddClientToolOutputReq():
                return await self._add_client_tool_output(request)
            case ThreadsAddStructuredInputReq():
                return await self._add_structured_input(request)
            case ThreadsRetryAfterItemReq():
                return await self._retry_after_item(request)
            case ThreadsCustomActionReq():
                return await self._custom_action(request)
            case _:
                assert_never(request)

    async def _create_thread(self, request: ThreadsCreateReq) -> Turn:
        thread = Thread(
            id=self._store.generate_thread_id(self._context), created_at=now(), items=Page()
        )
        turn = await self._open_with_message(thread, request.params.input, new_thread=True)
        show = self._server._to_thread_response  # pyright: ignore[reportPrivateUsage] - a seam
        turn.opening.insert(0, ThreadCreatedEvent(thread=show(thread)))
        return turn

    async def _add_user_message(self, request: ThreadsAddUserMessageReq) -> Turn:
        thread = await self._begin(request.params.thread_id)
        check_takes_messages(thread)
        return await self._open_with_message(thread, request.params.input, new_thread=False)

    async def _open_with_message(
        self, thread: ThreadMetadata, message: UserMessageInput, *, new_thread: bool
    ) -> Turn:
        build = self._server._build_user_message_item  # pyright: ignore[reportPrivateUsage] - a seam
        item = await build(message, thread, self._context)
        attachments = item.attachments
        if new_thread:
            thread.title = self._server.chatkit_get_first_title(item, self._context)
        await self._store.chatkit_add_user_message(
            thread, item, attachments, self._context, new_thread=new_thread
        )
        return Turn(
            thread,
            lambda: self._respond_to(thread, item),
            opening=[ThreadItemDoneEvent(item=item)],
        )

    def _respond_to(
        self, thread: ThreadMetadata, item: UserMessageItem
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Return the events that answer a message, whose choices are put where recipes look."""
        context = self._context
        if isinstance(context, RequestContext):
            options = item.inference_options
            tool = options.tool_choice.id if options.tool_choice else None
            chosen = {"tool_choice": tool, "model": options.model}
            given = {name: value for name, value in chosen.items() if value is not None}
            context.metadata = given | context.metadata  # what the page has sent comes first
        return self._server.respond(thread, item, context)

    async def build_user_message(
        self, message: UserMessageInput, thread: ThreadMetadata
    ) -> UserMessageItem:
        """Return the item for a message, with its attachments, all of them looked at."""
        attachments = await self._load_attachments(message.attachments, thread)
        return UserMessageItem(
            id=self._store.generate_item_id("message", thread, self._context),
            thread_id=thread.id,
            created_at=now(),
            content=message.content,
            attachments=attachments,
            quoted_text=message.quoted_text,
            inference_options=message.inference_options,
        )

    async def _load_attachments(
        self, attachment_ids: list[str], thread: ThreadMetadata
    ) -> list[Attachment]:
        if not attachment_ids:
            return []
        if len(set(attachment_ids)) != len(attachment_ids):
            raise InvalidRequestError(
                "An attachment is named twice", field="params.input.attachments"
            )
        attachments = await self._store.chatkit_load_attachments(attachment_ids, self._context)
        for attachment in attachments:
            if attachment.thread_id not in (None, thread.id):
                raise UnprocessableError(f"Attachment {attachment.id} belongs to another thread")
        files = self._server.attachment_store
        if files is not None:
            attachments = await files.chatkit_finish_uploads(attachments, self._context)
        return [each.model_copy(update={"thread_id": thread.id}) for each in attachments]

    async def _add_client_tool_output(self, request: ThreadsAddClientToolOutputReq) -> Turn:
        thread = await self._begin(request.params.thread_id)
        page = await self._store.load_thread_items(
            thread.id, None, RECENT_ITEMS, "desc", self._context
        )
        newest = next((each for each in page.data if _counts_as_last(each)), None)
        if not isinstance(newest, ClientToolCallItem) or newest.status != "pending":
            raise UnprocessableError(f"Thread {thread.id} is not waiting for a client tool")
        newest.output = request.params.result
        newest.status = "completed"
        await self._store.save_item(thread.id, newest, self._context)
        gone: list[BaseModel] = []
        for other in page.data:
            if isinstance(other, ClientToolCallItem) and other.status == "pending":
                await self._store.delete_thread_item(thread.id, other.id, self._context)
                gone.append(ThreadItemRemovedEvent(item_id=other.id))
        all_held = (held for each in page.data if (held := read_held_calls(each)))
        held = next((each for each in all_held if each.behind == newest.id), None)
        if held is not None:
            return Turn(thread, partial(self._announce_next, thread, held), first=gone)
        is_given = takes_tool_outputs(type(self._server).respond)
        message = cast("UserMessageItem", newest) if is_given else None
        return Turn(
            thread, lambda: self._server.respond(thread, message, self._context), first=gone
        )

    async def _announce_next(
        self, thread: ThreadMetadata, held: HeldCalls
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the next of several client tool calls; the model waits for the last output."""
        call, *others = held.calls
        call = call.model_copy(update={"created_at": now()})
        yield ThreadItemDoneEvent(item=call)
        if others:
            yield ThreadItemDoneEvent(item=hold_calls(call, others))
        await self._store.delete_thread_item(thread.id, held.item_id, self._context)

    async def _add_structured_input(self, request: ThreadsAddStructuredInputReq) -> Turn:
        params = request.params
        thread = await self._begin(params.thread_id)
        item = await self._store.load_item(thread.id, params.item_id, self._context)
        if not isinstance(item, StructuredInputItem):
            raise UnprocessableError(f"Item {params.item_id} is no structured input")
        answered = answer_structured_input(item, params.input)
        await self._store.save_item(thread.id, answered, self._context)
        return Turn(
            thread,
            lambda: self._server.respond(thread, None, self._context),
            first=[ThreadItemReplacedEvent(item=answered)],
        )

    async def _retry_after_item(self, request: ThreadsRetryAfterItemReq) -> Turn:
        params = request.params
        thread = await self._begin(params.thread_id)
        check_takes_messages(thread)
        item = await self._store.load_item(thread.id, params.item_id, self._context)
        if not isinstance(item, UserMessageItem):
            raise UnprocessableError(f"Item {params.item_id} is not a user message")
        await self._store.chatkit_delete_items_after(thread.id, item.id, self._context)
        return Turn(thread, lambda: self._respond_to(thread, item))

    async def _custom_action(self, request: ThreadsCustomActionReq) -> Turn:
        params = request.params
        thread = await self._begin(params.thread_id)
        sender = await load_sender(self._store, thread, params.item_id, self._context)

        def act() -> AsyncIterator[ThreadStreamEvent]:
            # Within the stream, so that a refusal is an event which the client shows.
            action = self._server.chatkit_check_action(params.action, sender, streaming=True)
            return self._server.action(thread, action, sender, self._context)

        return Turn(thread, act)

    async def _begin(self, thread_id: str) -> ThreadMetadata:
        return await self._store.chatkit_begin_turn(thread_id, self._context)


def check_takes_messages(thread: ThreadMetadata) -> None:
    """Raise ``ThreadConflictError`` if the thread is locked or closed.

    The status is about the composer. A turn that waits for the page or for the user's answers can
    be completed all the same, and a widget can offer to reopen the thread.
    """
    status = thread.status
    if status.type == "active":
        return
    reason = f": {status.reason}" if status.reason else ""
    raise ThreadConflictError(f"This thread is {status.type}{reason}")


async def load_sender(
    store: Store[TContext],
    thread: ThreadMetadata,
    item_id: str | None,
    context: TContext,
) -> WidgetItem | None:
    """Return the widget that an action comes from, or None for an action of the page itself."""
    if not item_id:
        return None
    item = await store.load_item(thread.id, item_id, context)
    if not isinstance(item, WidgetItem):
        raise UnprocessableError(f"Item {item_id} is no widget, so it cannot send an action")
    return item


def answer_structured_input(
    item: StructuredInputItem, submission: StructuredInputSubmission
) -> StructuredInputItem:
    """Return ``item`` with the submitted answers; answers to unknown questions are ignored.

    A question that was skipped, left out or answered with nothing is recorded as skipped. A
    single-choice question keeps the first value. Raises ``ThreadConflictError`` if it was answered.
    """
    if item.status != "pending":
        raise ThreadConflictError(f"Structured input {item.id} was {item.status} already")
    answered = item.model_copy(deep=True)
    for question in answered.inputs:
        answer = submission.answers.get(question.id)
        if submission.status == "skipped" or answer is None or answer.skipped or not answer.values:
            question.answer = StructuredInputAnswer(skipped=True)
            continue
        single = isinstance(question, StructuredInputMultipleChoice) and not question.multiple
        question.answer = StructuredInputAnswer(
            values=answer.values[:1] if single else answer.values
        )
    answered.status = submission.status
    return answered


def _counts_as_last(item: ThreadItem) -> bool:
    return not is_hidden(item) and item.type != "end_of_turn"
