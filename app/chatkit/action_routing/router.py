"""``ActionRouter``: handlers of actions, each declared once with its type and its payload.

The declaration is both ends of the action: it builds the configuration that a widget carries, and
it parses what comes back, so the two cannot drift::

    actions = ActionRouter[RequestContext]()

    class CloseTicket(BaseModel):
        ticket_id: str
        reason: str = ""

    @actions.on("ticket.close", CloseTicket, once=True)
    async def close_ticket(call: ActionCall[CloseTicket, RequestContext]):
        await tickets.close(call.payload.ticket_id, call.context.user_id)
        yield call.replace(values=call.payload, consumed=True)

    Form(onSubmitAction=close_ticket.config(ticket_id="t1"), children=[Input(name="reason"), ...])
"""

import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Generic

from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import TypeVar

from app.chatkit.action_routing.call import ActionCall
from app.chatkit.action_routing.guard import find_offer, quote
from app.chatkit.action_routing.once_marks import payload_mark
from app.chatkit.actions import (
    DEFAULT_HANDLER,
    DEFAULT_LOADING_BEHAVIOR,
    Action,
    ActionConfig,
    Handler,
    LoadingBehavior,
)
from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.events import NoticeEvent, SyncCustomActionResponse, ThreadStreamEvent
from app.chatkit.protocol.items import ThreadMetadata, WidgetItem
from app.chatkit.protocol.serialization import dump_value
from app.chatkit.responder import Responder
from app.chatkit.streaming.widget_stream import read

__all__ = ["ActionCall", "ActionRouter", "NoPayload", "StreamingAction", "SyncAction"]


class NoPayload(BaseModel):
    """The payload of an action that has none."""


TContext = TypeVar("TContext", default=Any)
TPayload = TypeVar("TPayload", bound=BaseModel, default=NoPayload)

StreamingHandler = Callable[[ActionCall[TPayload, TContext]], AsyncIterator[ThreadStreamEvent]]
SyncResult = SyncCustomActionResponse | WidgetItem | None
SyncHandler = Callable[[ActionCall[TPayload, TContext]], Awaitable[SyncResult]]

_NO_PAYLOAD: Any = NoPayload  # as a default of a generic parameter it must not have a type
CONFIG_OPTIONS = ("handler", "loading_behavior")
DONE_ALREADY = "This was done already."


class DeclaredAction(Generic[TPayload, TContext]):
    """An action that a server knows: its type, its payload and who may send it."""

    streaming: bool

    def __init__(
        self, action_type: str, payload: type[TPayload], *, client: bool, once: bool
    ) -> None:
        self.type = action_type
        self.payload_model = payload
        self.client = client
        self.once = once
        fields = payload.model_fields
        if taken := [name for name in CONFIG_OPTIONS if name in fields]:
            raise TypeError(f"{payload.__name__}.{taken[0]}: an option of config() has this name")
        self._adapters: dict[str, TypeAdapter[Any]] = {
            name: TypeAdapter(field.rebuild_annotation()) for name, field in fields.items()
        }

    def config(
        self,
        *,
        handler: Handler = DEFAULT_HANDLER,
        loading_behavior: LoadingBehavior = DEFAULT_LOADING_BEHAVIOR,
        **fixed: Any,
    ) -> ActionConfig:
        """Return the configuration for a widget, with these fields of the payload fixed.

        The others have defaults, or are inputs of the form around the widget. Raises ``TypeError``
        for a field that is not declared, ``ValueError`` for a wrong value.
        """
        return ActionConfig(
            type=self.type,
            payload=self._fix(fixed) or None,
            handler=handler,
            loadingBehavior=loading_behavior,
            streaming=self.streaming,
        )

    def _fix(self, fixed: dict[str, Any]) -> dict[str, Any]:
        fields = self.payload_model.model_fields
        payload: dict[str, Any] = {}
        for name, value in fixed.items():
            if name not in fields:
                raise TypeError(f"{self.payload_model.__name__} has no field {name!r}")
            adapter = self._adapters[name]
            try:
                plain = adapter.dump_python(
                    adapter.validate_python(value), mode="json", by_alias=True
                )
            except ValidationError as error:
                raise ValueError(f"{self.type}: {_describe(error, name)}") from error
            alias = fields[name].validation_alias
            payload[alias if isinstance(alias, str) else name] = plain
        if all(name in fixed for name, field in fields.items() if field.is_required()):
            try:
                self._parse(payload)
            except ValidationError as error:
                raise ValueError(f"{self.type}: {_describe(error)}") from error
        return payload

    def _parse(self, payload: Any) -> TPayload:
        return self.payload_model.model_validate_json(
            dump_value({} if payload is None else payload)
        )

    def create_call(
        self,
        server: Responder[TContext],
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> ActionCall[TPayload, TContext]:
        """Return the call for a handler; raises ``UnprocessableError`` for a wrong payload."""
        try:
            payload = self._parse(action.payload)
        except ValidationError as error:
            raise UnprocessableError(
                f"The action {quote(self.type)} was not accepted: {_describe(error)}"
            ) from error
        return ActionCall(server, thread, action, payload, sender, context)

    @asynccontextmanager
    async def turn(self, call: ActionCall[TPayload, TContext]) -> AsyncGenerator[bool]:
        """Say whether the action is to run: a one-shot does so once, and again after a failure."""
        if not self.once:
            yield True
            return
        key = self._mark_key(call)
        if not await call.store.chatkit_mark_once(call.thread.id, key, call.context):
            yield False
            return
        try:
            yield True
        except Exception:
            await call.store.chatkit_remove_mark(call.thread.id, key, call.context)
            raise

    def _mark_key(self, call: ActionCall[TPayload, TContext]) -> str:
        """Return what makes two clicks the same.

        What the widget fixed, not what was entered. Where the page may send any payload, it is
        the whole payload, from whichever widget.
        """
        if self.client:
            return json.dumps([self.type, payload_mark(call.payload)])
        fixed, sender = call.action.payload, call.sender
        if sender is not None:
            with suppress(UnprocessableError):  # where the server's own check lets more pass
                offer, _ = find_offer(sender, call.action, streaming=self.streaming)
                fixed = offer.payload
        sender_id = sender.id if sender is not None else None
        return json.dumps([self.type, sender_id, fixed], sort_keys=True)


class StreamingAction(DeclaredAction[TPayload, TContext]):
    """An action that is answered with a stream; calling it calls its handler."""

    streaming = True

    def __init__(
        self,
        action_type: str,
        payload: type[TPayload],
        handler: StreamingHandler[TPayload, TContext],
        *,
        client: bool,
        once: bool,
    ) -> None:
        super().__init__(action_type, payload, client=client, once=once)
        if inspect.iscoroutinefunction(handler):
            raise TypeError(f"{action_type}: the handler has to yield events")
        self.handler = handler

    def __call__(self, call: ActionCall[TPayload, TContext]) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the handler's events."""
        return self.handler(call)

    async def run(
        self, call: ActionCall[TPayload, TContext]
    ) -> AsyncGenerator[ThreadStreamEvent, None]:
        """Yield the handler's events, but run a one-shot action once."""
        async with self.turn(call) as is_first:
            if not is_first:
                yield NoticeEvent(level="info", message=DONE_ALREADY)
                return
            async with aclosing(read(self.handler(call))) as events:
                async for event in events:
                    yield event


class SyncAction(DeclaredAction[TPayload, TContext]):
    """An action that is answered at once with a changed item; calling it calls its handler."""

    streaming = False

    def __init__(
        self,
        action_type: str,
        payload: type[TPayload],
        handler: SyncHandler[TPayload, TContext],
        *,
        client: bool,
        once: bool,
    ) -> None:
        super().__init__(action_type, payload, client=client, once=once)
        if inspect.isasyncgenfunction(handler):
            raise TypeError(f"{action_type}: the handler has to return, not to yield")
        self.handler = handler

    async def __call__(self, call: ActionCall[TPayload, TContext]) -> SyncResult:
        """Return what the handler returns; nothing is stored."""
        return await self.handler(call)

    async def run(self, call: ActionCall[TPayload, TContext]) -> SyncCustomActionResponse:
        """Return the changed item, which is stored, but run a one-shot action once."""
        async with self.turn(call) as is_first:
            if not is_first:
                return SyncCustomActionResponse(updated_item=await _reload_sender(call))
            result = await self.handler(call)
            item = result.updated_item if isinstance(result, SyncCustomActionResponse) else result
            if item is not None:
                await call.store.save_item(call.thread.id, item, call.context)
            return SyncCustomActionResponse(updated_item=item)


class ActionRouter(Generic[TContext]):
    """Finds the handler of an action. A server that has one in ``actions`` uses it.

    A handler is declared with the action's type and, if it has one, a model of its payload.
    ``client=True`` lets the page send the action by itself, with any payload that the model takes
    and without a widget that offers it. ``once=True`` makes it a one-shot: of two clicks on the
    same control, also at the same time, one runs, and only a handler that failed can run again.
    With both, the action runs once for every payload, as it was parsed.
    """

    def __init__(self) -> None:
        self._declared: dict[str, StreamingAction[Any, TContext] | SyncAction[Any, TContext]] = {}

    def on(
        self,
        action_type: str,
        payload: type[TPayload] = _NO_PAYLOAD,
        *,
        client: bool = False,
        once: bool = False,
    ) -> Callable[[StreamingHandler[TPayload, TContext]], StreamingAction[TPayload, TContext]]:
        """Declare an async generator of stream events as the handler of an action."""

        def declare(
            handler: StreamingHandler[TPayload, TContext],
        ) -> StreamingAction[TPayload, TContext]:
            action = StreamingAction(action_type, payload, handler, client=client, once=once)
            self._add(action)
            return action

        return declare

    def sync(
        self,
        action_type: str,
        payload: type[TPayload] = _NO_PAYLOAD,
        *,
        client: bool = False,
        once: bool = False,
    ) -> Callable[[SyncHandler[TPayload, TContext]], SyncAction[TPayload, TContext]]:
        """Declare a coroutine as the handler of an action with ``streaming: false``.

        The item that it returns replaces the one in the thread; None changes nothing.
        """

        def declare(handler: SyncHandler[TPayload, TContext]) -> SyncAction[TPayload, TContext]:
            action = SyncAction(action_type, payload, handler, client=client, once=once)
            self._add(action)
            return action

        return declare

    def _add(self, action: StreamingAction[Any, TContext] | SyncAction[Any, TContext]) -> None:
        if action.type in self._declared:
            raise ValueError(f"The action {quote(action.type)} is declared twice")
        self._declared[action.type] = action

    def may_come_from_client(self, action_type: str) -> bool | None:
        """Return whether the page may send it by itself; None where there is no such action."""
        declared = self._declared.get(action_type)
        return declared.client if declared is not None else None

    async def stream(
        self,
        server: Responder[TContext],
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the events of an action's handler; raises ``UnprocessableError``."""
        declared = self._find(action)
        if not isinstance(declared, StreamingAction):
            raise UnprocessableError(
                f"The action {quote(action.type)} is answered without a stream"
            )
        call = declared.create_call(server, thread, action, sender, context)
        async with aclosing(declared.run(call)) as events:
            async for event in events:
                yield event

    async def answer(
        self,
        server: Responder[TContext],
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: TContext,
    ) -> SyncCustomActionResponse:
        """Return what an action's handler changed; raises ``UnprocessableError``."""
        declared = self._find(action)
        if not isinstance(declared, SyncAction):
            raise UnprocessableError(f"The action {quote(action.type)} is answered with a stream")
        return await declared.run(declared.create_call(server, thread, action, sender, context))

    def _find(
        self, action: Action[str, Any]
    ) -> StreamingAction[Any, TContext] | SyncAction[Any, TContext]:
        declared = self._declared.get(action.type)
        if declared is None:
            raise UnprocessableError(f"Unknown action {quote(action.type)}")
        return declared


async def _reload_sender(call: ActionCall[Any, Any]) -> WidgetItem | None:
    if call.sender is None:
        return None
    item = await call.store.load_item(call.thread.id, call.sender.id, call.context)
    return item if isinstance(item, WidgetItem) else None


def _describe(error: ValidationError, *path: str) -> str:
    """Return the first problem of a payload, and where it is."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, ["payload", *path, *first["loc"]]))
    return f"{where}: {first['msg']}"
