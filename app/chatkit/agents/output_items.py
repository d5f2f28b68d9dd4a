"""Images and hosted tools of a run: output items that the provider works on by itself."""

from dataclasses import dataclass
from typing import Any

from app.chatkit.agents.context import AgentContext
from app.chatkit.agents.item_ids import is_own_id
from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.protocol.events import (
    GeneratedImageUpdated,
    NoticeEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import GeneratedImage, GeneratedImageItem, Task, WorkflowItem, now
from app.chatkit.untyped import get_field, get_text


def place_of(event: Any, raw_id: Any) -> Any:
    """Return what tells an output item apart in its response."""
    place = get_field(event, "output_index")
    return raw_id if place is None else place


class ImageStreamer:
    """Follows image generations, of which several may run at a time.

    They do not end a workflow. ``AgentContext.generated_image_item`` is the latest pending one.
    """

    def __init__(self, context: AgentContext[Any], converter: ResponseStreamConverter) -> None:
        self._context = context
        self._outbox = context.chatkit_outbox
        self._converter = converter
        self._pending: dict[Any, GeneratedImageItem] = {}

    def add_item(self, event: Any, item: Any) -> None:
        """Stream the beginning of an image."""
        self._begin(place_of(event, get_field(item, "id")))

    async def show_preview(self, event: Any) -> None:
        """Stream a preview."""
        raw_id, data = get_field(event, "item_id"), get_text(event, "partial_image_b64")
        if not data:
            return
        key = place_of(event, raw_id)
        item = self._pending.get(key) or self._begin(key)
        index = get_field(event, "partial_image_index") or 0
        image_id = raw_id if is_own_id(raw_id) else item.id
        url = await self._converter.base64_image_to_url(
            image_id=image_id, base64_image=data, partial_image_index=index
        )
        update = GeneratedImageUpdated(
            image=GeneratedImage(id=image_id, url=url),
            progress=self._converter.partial_image_index_to_progress(index),
        )
        self._set(key, item.model_copy(update={"image": update.image}))
        self._outbox.put(ThreadItemUpdatedEvent(item_id=item.id, update=update))

    async def finish_item(self, event: Any, item: Any) -> None:
        """Stream the finished image, or take back one that failed."""
        raw_id, data = get_field(item, "id"), get_text(item, "result")
        key = place_of(event, raw_id)
        if not data or get_field(item, "status") == "failed":
            self._fail(key)
            return
        pending = self._pending.get(key) or self._begin(key)
        image_id = raw_id if is_own_id(raw_id) else pending.id
        url = await self._converter.base64_image_to_url(image_id=image_id, base64_image=data)
        finished = pending.model_copy(update={"image": GeneratedImage(id=image_id, url=url)})
        self._drop(key)
        self._outbox.put(ThreadItemDoneEvent(item=finished))

    def end_response(self) -> None:
        """Take back the images that the response left pending."""
        for key in list(self._pending):
            self._fail(key)

    def _begin(self, key: Any) -> GeneratedImageItem:
        given = self._context.generated_image_item
        if given is not None and not self._pending:
            # The caller has announced the item itself.
            self._set(key, given)
            return given
        item = GeneratedImageItem(
            id=self._context.generate_id("message"),
            thread_id=self._context.thread.id,
            created_at=now(),
        )
        self._set(key, item)
        self._outbox.put(ThreadItemAddedEvent(item=item.model_copy()))
        return item

    def _fail(self, key: Any) -> None:
        item = self._drop(key)
        if item is not None:
            self._outbox.put(ThreadItemRemovedEvent(item_id=item.id))
        message = self._converter.chatkit_get_notice("image_failed")
        self._outbox.put(NoticeEvent(level="warning", message=message))

    def _set(self, key: Any, item: GeneratedImageItem) -> None:
        self._pending[key] = item
        self._context.generated_image_item = item

    def _drop(self, key: Any) -> GeneratedImageItem | None:
        item = self._pending.pop(key, None)
        self._context.generated_image_item = next(reversed(self._pending.values()), None)
        return item


@dataclass(slots=True)
class ShownTask:
    """A task in a workflow, which may have ended since."""

    workflow_item: WorkflowItem
    task: Task


class HostedToolTracker:
    """Shows the tools that the provider runs, in the open workflow or a new one."""

    def __init__(self, context: AgentContext[Any], converter: ResponseStreamConverter) -> None:
        self._context = context
        self._converter = converter
        self._shown: dict[Any, ShownTask] = {}

    def end_response(self) -> None:
        """Show that nothing works any more on what the response has left pending."""
        for shown in self._shown.values():
            self._replace(shown, shown.task.model_copy(update={"status_indicator": "none"}))
        self._shown.clear()

    async def add_item(self, event: Any, item: Any) -> None:
        """Show a tool at work."""
        task = await self._converter.chatkit_hosted_tool_to_task(item, done=False)
        if task is None:
            return
        await self._context.add_workflow_task(task)
        workflow_item = self._context.workflow_item
        if workflow_item is not None:
            key = place_of(event, get_field(item, "id"))
            self._shown[key] = ShownTask(workflow_item, task)

    async def finish_item(self, event: Any, item: Any) -> None:
        """Show what a tool has done, also in a workflow that has ended meanwhile."""
        task = await self._converter.chatkit_hosted_tool_to_task(item, done=True)
        if task is None:
            return
        shown = self._shown.pop(place_of(event, get_field(item, "id")), None)
        if shown is None:
            await self._context.add_workflow_task(task)
        else:
            self._replace(shown, task)

    def _replace(self, shown: ShownTask, task: Task) -> None:
        """Put ``task`` in the place of a shown one; nothing if the latter is not there any more."""
        tasks = shown.workflow_item.workflow.tasks
        places = range(len(tasks) - 1, -1, -1)  # mostly one of the last
        index = next((at for at in places if tasks[at] is shown.task), None)
        if index is None:
            return
        tasks[index] = task
        update = WorkflowTaskUpdated(task=task.model_copy(deep=True), task_index=index)
        # What has ended is in the store: the pipeline applies the update to it there.
        event = ThreadItemUpdatedEvent(item_id=shown.workflow_item.id, update=update)
        self._context.chatkit_outbox.put(event)
