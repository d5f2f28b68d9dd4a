"""``AgentContext``: what tools stream through, and the laws of the turn's workflow.

Events of the tools and of the model go to one outbox. An item that ends the workflow therefore
puts the workflow's end in front of itself, wherever it comes from.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic

from pydantic import BaseModel, ConfigDict, SkipValidation
from typing_extensions import TypeVar

from app.chatkit.agents.outbox import Outbox
from app.chatkit.agents.tool_memory import is_tool_call
from app.chatkit.icons import IconName
from app.chatkit.protocol.events import (
    ProgressUpdateEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.held_calls import is_held_calls
from app.chatkit.protocol.ids import StoreItemType
from app.chatkit.protocol.items import (
    DurationSummary,
    GeneratedImageItem,
    Task,
    ThreadItem,
    ThreadMetadata,
    Workflow,
    WorkflowItem,
    WorkflowSummary,
    now,
)
from app.chatkit.protocol.own_classes import to_own_event, to_own_summary, to_own_task
from app.chatkit.protocol.wire_model import WireModel
from app.chatkit.store import Store
from app.chatkit.streaming.widget_stream import stream_widget
from app.chatkit.widgets import WidgetRoot

TContext = TypeVar("TContext", default=Any)

SILENT_ITEM_TYPES = frozenset(
    {"client_tool_call", "hidden_context_item", "sdk_hidden_context", "end_of_turn"}
)
"""Items that a reader does not see as something new: a workflow goes on behind them."""


class ClientToolCall(WireModel):
    """A call of a tool that runs in the page; assign it to ``AgentContext.client_tool_call``."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class TurnState:
    """What ``AgentContext`` keeps of a turn: unread events, calls for the page, its workflow.

    ``taken_ids`` are those that a new item must not have, of the thread and of the turn's runs;
    ``failed_call_ids`` are those of tool calls that came to nothing.
    """

    outbox: Outbox
    client_tool_calls: list[ClientToolCall]
    taken_ids: set[str]
    failed_call_ids: set[str] = field(default_factory=set[str])
    announced_workflow_id: str | None = None
    stored_workflow_id: str | None = None


def snapshot(item: WorkflowItem) -> WorkflowItem:
    """Return a copy for an event: the workflow goes on changing while the event is unread."""
    return item.model_copy(update={"workflow": item.workflow.model_copy(deep=True)})


def _is_passed_over(item: ThreadItem) -> bool:
    return item.type == "client_tool_call" or is_tool_call(item) or is_held_calls(item)


class AgentContext(BaseModel, Generic[TContext]):
    """The context of an agent run: its thread, its store, and a way to stream from tools.

    ``chatkit_loaded_history`` may hold the newest items of the thread in ascending order, if the
    caller has loaded them anyway; ``stream_agent_response`` then does not read them again. Say with
    ``chatkit_history_is_whole`` that they are all there are: ids of the model are then not looked
    up.
    ``client_tool_call`` may be assigned several times in a turn: each value becomes a pending call,
    reading returns the latest, None forgets them all.

    It is made to be subclassed: what is not of the official class has a name that begins with
    ``chatkit_``, so that a subclass may call its own what it likes.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    thread: ThreadMetadata
    store: Annotated[Store[TContext], SkipValidation]
    request_context: TContext
    previous_response_id: str | None = None
    client_tool_call: ClientToolCall | None = None
    workflow_item: WorkflowItem | None = None
    generated_image_item: GeneratedImageItem | None = None
    chatkit_loaded_history: Annotated[list[ThreadItem] | None, SkipValidation] = None
    chatkit_history_is_whole: bool = False

    if not TYPE_CHECKING:  # a visible __setattr__ would switch off the check of every assignment

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "client_tool_call":
                value = None if value is None else ClientToolCall.model_validate(value)
                self._chatkit_note_call(value)
            super().__setattr__(name, value)

    def _chatkit_note_call(self, call: ClientToolCall | None) -> None:
        if call is None:
            self.chatkit_turn.client_tool_calls.clear()
        elif call is not self.client_tool_call:
            self.chatkit_turn.client_tool_calls.append(call)

    @cached_property
    def chatkit_turn(self) -> TurnState:
        """What the turn has come to; not private, since pydantic is slow to find those."""
        given = self.client_tool_call
        return TurnState(Outbox(), [given] if given is not None else [], set())

    # --- for the bridge --------------------------------------------------------------------------

    @property
    def chatkit_outbox(self) -> Outbox:
        """Events that wait to be streamed."""
        return self.chatkit_turn.outbox

    def chatkit_take_client_tool_calls(self) -> list[ClientToolCall]:
        """Return the calls assigned since this was last asked, in order."""
        turn = self.chatkit_turn
        calls, turn.client_tool_calls = turn.client_tool_calls, []
        return calls

    def chatkit_continue_workflow(self, newest: list[ThreadItem]) -> None:
        """Take up the workflow that the thread ends with, alone or behind tool calls.

        ``newest`` are the thread's newest items, ascending. Events that were streamed before are
        put behind the workflow again, so that they end it as they would have.
        """
        last = next((item for item in reversed(newest) if not _is_passed_over(item)), None)
        if last is None or last.type != "workflow":
            return
        if self.workflow_item is None:
            self.workflow_item = last
        elif self.workflow_item.id != last.id:
            return
        self.chatkit_turn.stored_workflow_id = last.id
        if last.workflow.tasks or last.workflow.type == "reasoning":
            self.chatkit_turn.announced_workflow_id = last.id
        for event in self.chatkit_outbox.take_all():
            self.chatkit_emit(event)

    async def chatkit_keep_open_workflow(self) -> None:
        """Store the workflow that is still open, so that the next run can continue it.

        One that was never shown, as it has no task yet, is not stored either.
        """
        item = self.workflow_item
        if item is None:
            return
        if self.chatkit_turn.stored_workflow_id == item.id:
            await self.store.save_item(self.thread.id, item, self.request_context)
        elif self.chatkit_turn.announced_workflow_id == item.id:
            await self.store.add_thread_item(self.thread.id, item, self.request_context)
            self.chatkit_turn.stored_workflow_id = item.id

    # --- for tools -------------------------------------------------------------------------------

    def generate_id(self, type: StoreItemType, thread: ThreadMetadata | None = None) -> str:
        """Return a new id from the store."""
        if type == "thread":
            return self.store.generate_thread_id(self.request_context)
        return self.store.generate_item_id(type, thread or self.thread, self.request_context)

    async def stream(self, event: ThreadStreamEvent) -> None:
        """Stream an event into the thread."""
        self.chatkit_emit(event)

    def chatkit_emit(self, event: ThreadStreamEvent) -> None:
        """Stream an event; an item of another kind ends the open workflow first."""
        event = to_own_event(event)
        if event.type == "thread.item.added" or event.type == "thread.item.done":
            item = event.item
            current = self.workflow_item
            if current and current.id != item.id and item.type not in SILENT_ITEM_TYPES:
                self._chatkit_end_workflow(current)
            if item.type == "workflow":
                event = event.model_copy(update={"item": snapshot(item)})
                if event.type == "thread.item.added":
                    self.workflow_item = item
                    self.chatkit_turn.announced_workflow_id = item.id
                elif current and current.id == item.id:
                    self.workflow_item = None
        self.chatkit_outbox.put(event)

    async def stream_widget(
        self, widget: WidgetRoot | AsyncIterator[WidgetRoot], copy_text: str | None = None
    ) -> None:
        """Stream a widget, or its states as an async iterator yields them."""
        events = stream_widget(self.thread, widget, copy_text, self.generate_id)
        async for event in events:
            await self.stream(event)

    async def stream_progress(self, text: str, icon: IconName | None = None) -> None:
        """Show a passing line of what goes on."""
        await self.stream(ProgressUpdateEvent(text=text, icon=icon))

    async def start_workflow(self, workflow: Workflow) -> None:
        """Begin a workflow; a custom one shows with its first task. An open one ends."""
        if self.workflow_item is not None:
            self._chatkit_end_workflow(self.workflow_item)
        item = self._chatkit_create_workflow(workflow)
        if item.workflow.type == "reasoning" or item.workflow.tasks:
            await self.stream(ThreadItemAddedEvent(item=item))
        self.workflow_item = item

    async def end_workflow(
        self, summary: WorkflowSummary | None = None, expanded: bool = False
    ) -> None:
        """End the open workflow; without a summary it shows how long it took."""
        if self.workflow_item is not None:
            self._chatkit_end_workflow(self.workflow_item, summary, expanded)

    async def add_workflow_task(self, task: Task) -> None:
        """Append a task to the open workflow, or to a new custom one."""
        task = to_own_task(task)
        item = self.workflow_item
        if item is None:
            item = self.workflow_item = self._chatkit_create_workflow(
                Workflow(type="custom", tasks=[])
            )
        workflow = item.workflow
        workflow.tasks.append(task)
        is_first = workflow.type != "reasoning" and len(workflow.tasks) == 1
        if is_first and self.chatkit_turn.announced_workflow_id != item.id:
            await self.stream(ThreadItemAddedEvent(item=item))
        else:
            update = WorkflowTaskAdded(
                task=task.model_copy(deep=True), task_index=len(workflow.tasks) - 1
            )
            await self.stream(ThreadItemUpdatedEvent(item_id=item.id, update=update))

    async def update_workflow_task(self, task: Task, task_index: int) -> None:
        """Replace a task of the open workflow; raises ``ValueError`` if it does not exist."""
        item = self.workflow_item
        if item is None:
            raise ValueError("There is no open workflow to update a task of")
        tasks = item.workflow.tasks
        if not 0 <= task_index < len(tasks):
            raise ValueError(f"The workflow has {len(tasks)} tasks, none with index {task_index}")
        task = to_own_task(task)
        tasks[task_index] = task
        update = WorkflowTaskUpdated(task=task.model_copy(deep=True), task_index=task_index)
        await self.stream(ThreadItemUpdatedEvent(item_id=item.id, update=update))

    def _chatkit_create_workflow(self, workflow: Workflow) -> WorkflowItem:
        return WorkflowItem(
            id=self.generate_id("workflow"),
            thread_id=self.thread.id,
            created_at=now(),
            workflow=workflow,
        )

    def _chatkit_end_workflow(
        self, item: WorkflowItem, summary: WorkflowSummary | None = None, expanded: bool = False
    ) -> None:
        workflow = item.workflow
        if summary is not None:
            workflow.summary = to_own_summary(summary)
        elif workflow.summary is None:
            # Assigned values are not validated: a time without a zone is taken as local time.
            elapsed = (now() - item.created_at.astimezone(UTC)).total_seconds()
            workflow.summary = DurationSummary(duration=max(0, int(elapsed)))
        workflow.expanded = expanded
        self.workflow_item = None
        if self.chatkit_turn.stored_workflow_id == item.id:
            # It is in the store already: "done" would add it a second time.
            self.chatkit_outbox.put(ThreadItemReplacedEvent(item=snapshot(item)))
        else:
            self.chatkit_outbox.put(ThreadItemDoneEvent(item=snapshot(item)))
