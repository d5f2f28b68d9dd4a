"""What an item update does to its item, for all ten kinds.

``apply_update`` is the server's mirror of what a client does with ``thread.item.updated``: the item
afterwards is what the store must hold.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from pydantic_core import from_json

from app.chatkit.protocol.events import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    GeneratedImageUpdated,
    ThreadItemUpdate,
    WidgetComponentUpdated,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from app.chatkit.protocol.items import (
    AssistantMessageContent,
    AssistantMessageItem,
    GeneratedImageItem,
    ThreadItem,
    WidgetItem,
    WorkflowItem,
)
from app.chatkit.protocol.serialization import dump_wire
from app.chatkit.widgets.layout import load_root

Change = Callable[[dict[str, Any]], dict[str, Any]]

MAX_PARTS = 1000
"""Text parts that a message may be filled up to; an index beyond is a mistake."""


def apply_update(item: ThreadItem, update: ThreadItemUpdate) -> None:
    """Change ``item`` in place; an update that does not fit the item changes nothing."""
    match item:
        case AssistantMessageItem():
            _update_message(item, update)
        case WorkflowItem():
            _update_workflow(item, update)
        case WidgetItem():
            with suppress(ValueError):  # a component that cannot be where it was put
                _update_widget(item, update)
        case GeneratedImageItem():
            if isinstance(update, GeneratedImageUpdated):
                item.image = update.image
        case _:
            pass


def _update_message(item: AssistantMessageItem, update: ThreadItemUpdate) -> None:
    if not isinstance(
        update,
        AssistantMessageContentPartAdded
        | AssistantMessageContentPartTextDelta
        | AssistantMessageContentPartAnnotationAdded
        | AssistantMessageContentPartDone,
    ):
        return
    if not 0 <= update.content_index < MAX_PARTS:
        return
    # Updates may name a part that was never announced: fill up to it.
    while len(item.content) <= update.content_index:
        item.content.append(AssistantMessageContent(text=""))
    part = item.content[update.content_index]
    match update:
        case AssistantMessageContentPartTextDelta():
            part.text += update.delta
        case AssistantMessageContentPartAnnotationAdded():
            part.annotations.insert(max(update.annotation_index, 0), update.annotation)
        case _:
            item.content[update.content_index] = update.content.model_copy(deep=True)


def _update_workflow(item: WorkflowItem, update: ThreadItemUpdate) -> None:
    tasks = item.workflow.tasks
    match update:
        case WorkflowTaskAdded():
            tasks.insert(max(update.task_index, 0), update.task)
        case WorkflowTaskUpdated() if 0 <= update.task_index < len(tasks):
            tasks[update.task_index] = update.task
        case _:
            pass


def _update_widget(item: WidgetItem, update: ThreadItemUpdate) -> None:
    match update:
        case WidgetRootUpdated():
            item.widget = update.widget
        case WidgetComponentUpdated():
            new = from_json(dump_wire(update.component))
            _change_component(item, update.component_id, partial(_exchange, new=new))
        case WidgetStreamingTextValueDelta():
            _change_component(item, update.component_id, partial(_append, update=update))
        case _:
            pass


def _exchange(_: dict[str, Any], *, new: dict[str, Any]) -> dict[str, Any]:
    return new


def _append(node: dict[str, Any], *, update: WidgetStreamingTextValueDelta) -> dict[str, Any]:
    changed = {**node, "value": f"{node.get('value', '')}{update.delta}"}
    if update.done and changed.get("streaming"):
        changed["streaming"] = False
    return changed


def _change_component(item: WidgetItem, component_id: str, change: Change) -> None:
    tree = from_json(dump_wire(item.widget))
    item.widget = load_root(_replace(tree, component_id, change))


def _replace(node: Any, component_id: str, change: Change) -> Any:
    """Return the tree with ``change`` applied to the component of that id, below ``children``."""
    if isinstance(node, list):
        return [_replace(each, component_id, change) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    component = cast("dict[str, Any]", node)
    if component.get("id") == component_id:
        return change(component)
    if "children" in component:
        return {**component, "children": _replace(component["children"], component_id, change)}
    return component
