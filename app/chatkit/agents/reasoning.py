"""The model's reasoning as thoughts of a workflow.

Only the first thought of a reasoning workflow streams; every other one shows when it is complete.
Open models send their reasoning itself; it is shown unless a summary of it comes.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from app.chatkit.agents.context import AgentContext
from app.chatkit.protocol.events import (
    ThreadItemUpdatedEvent,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import Task, ThoughtTask, Workflow, WorkflowItem
from app.chatkit.untyped import get_field, get_text

ThoughtKind = Literal["summary", "text"]

SHORT_THOUGHT = 1024
"""Up to this length, in characters, a streaming thought is shown anew with each delta."""
GROWTH = 16
"""Each update holds the whole thought, so a longer one is shown again once it has grown by this
part of itself: all updates together then stay in proportion to the thought."""


@dataclass(slots=True)
class StreamingThought:
    """The thought that is being streamed: where it comes from and the task that shows it.

    ``shown`` is how much of it the client has, in characters.
    """

    source: Any
    kind: ThoughtKind
    part: Any
    task: ThoughtTask
    shown: int = 0

    @property
    def is_due(self) -> bool:
        """Whether enough was added to show it again."""
        step = self.shown // GROWTH if self.shown > SHORT_THOUGHT else 0
        return len(self.task.content) > self.shown + step


class ReasoningStreamer:
    """Follows the reasoning items of a run and streams their thoughts."""

    def __init__(self, context: AgentContext[Any]) -> None:
        self._context = context
        self._outbox = context.chatkit_outbox
        self._streaming: StreamingThought | None = None
        self._announced: set[Any] = set()
        self._summarised: set[Any] = set()

    def begin_response(self) -> None:
        """Forget the places of the response before, whose last thought may be without an end."""
        thought, item = self._streaming, self._context.workflow_item
        if thought is not None and item is not None and len(thought.task.content) > thought.shown:
            self._show_state(item, thought.task)
        self._streaming = None
        self._announced.clear()
        self._summarised.clear()

    async def add_item(self, event: Any, item: Any) -> None:
        """Open a reasoning workflow, unless one is open."""
        await self._announce(_source(event, item))

    async def add_summary(self, event: Any) -> None:
        """Stream a delta of a summary."""
        self._take_over(event)
        await self._add_delta(event, "summary", get_field(event, "summary_index"))

    async def finish_summary(self, event: Any) -> None:
        """Show a complete summary."""
        self._take_over(event)
        await self._finish(event, "summary", get_field(event, "summary_index"))

    async def add_reasoning(self, event: Any) -> None:
        """Stream a delta of the reasoning itself."""
        if _source(event) not in self._summarised:
            await self._add_delta(event, "text", get_field(event, "content_index"))

    async def finish_reasoning(self, event: Any) -> None:
        """Show a complete part of the reasoning itself."""
        if _source(event) not in self._summarised:
            await self._finish(event, "text", get_field(event, "content_index"))

    async def _announce(self, source: Any) -> None:
        if source in self._announced:
            return
        self._announced.add(source)
        if self._context.workflow_item is None:
            await self._context.start_workflow(Workflow(type="reasoning", tasks=[]))

    def _take_over(self, event: Any) -> None:
        """Let the first summary of a reasoning replace the reasoning that streams."""
        source, thought = _source(event), self._streaming
        self._summarised.add(source)
        if thought is not None and thought.source == source and thought.kind == "text":
            thought.kind, thought.part = "summary", get_field(event, "summary_index")
            thought.task.content, thought.shown = "", 0

    async def _add_delta(self, event: Any, kind: ThoughtKind, part: Any) -> None:
        source, delta = _source(event), get_text(event, "delta")
        await self._announce(source)
        item = self._context.workflow_item
        if item is None or not delta:
            return
        thought = self._streaming
        if item.workflow.type == "reasoning" and not item.workflow.tasks:
            task = ThoughtTask(content=delta)
            thought = StreamingThought(source, kind, part, task, shown=len(delta))
            self._streaming = thought
            self._append(item, thought.task)
        elif thought is not None and (thought.source, thought.kind, thought.part) == (
            source,
            kind,
            part,
        ):
            thought.task.content += delta
            if thought.is_due:
                thought.shown = len(thought.task.content)
                self._show_state(item, thought.task)

    async def _finish(self, event: Any, kind: ThoughtKind, part: Any) -> None:
        source, text = _source(event), get_text(event, "text")
        await self._announce(source)
        item = self._context.workflow_item
        if item is None:
            return
        thought = self._streaming
        if (
            thought is not None
            and (thought.source, thought.kind, thought.part) == (source, kind, part)
            and _index_of(item.workflow.tasks, thought.task) is not None
        ):
            self._streaming = None
            thought.task.content = text or thought.task.content
            self._show_state(item, thought.task)
        elif text:
            self._append(item, ThoughtTask(content=text))

    def _append(self, item: WorkflowItem, task: ThoughtTask) -> None:
        tasks = item.workflow.tasks
        tasks.append(task)
        update = WorkflowTaskAdded(task=task.model_copy(), task_index=len(tasks) - 1)
        self._outbox.put(ThreadItemUpdatedEvent(item_id=item.id, update=update))

    def _show_state(self, item: WorkflowItem, task: ThoughtTask) -> None:
        index = _index_of(item.workflow.tasks, task)
        if index is not None:
            update = WorkflowTaskUpdated(task=task.model_copy(), task_index=index)
            self._outbox.put_task_state(item.id, update)


def _source(event: Any, item: Any = None) -> Any:
    """Return what tells a reasoning item apart in its response."""
    place = get_field(event, "output_index")
    if place is not None:
        return place
    return get_field(item, "id") if item is not None else get_field(event, "item_id")


def _index_of(tasks: list[Task], task: Task) -> int | None:
    """Return the place of this very task: equal ones are common, and it is one of the last."""
    return next((at for at in range(len(tasks) - 1, -1, -1) if tasks[at] is task), None)


class StreamingThoughtTracker(BaseModel):
    """The official package's word for a thought that is being streamed; nothing here needs it."""

    item_id: str
    index: int
    task: ThoughtTask
