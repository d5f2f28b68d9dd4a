"""Events, items and tasks of another package's classes, or given as data, as those of our own.

Libraries that are made for the official package yield its classes; people write dictionaries. What
is of our own classes already is returned as it is.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import Attachment, Task, ThreadItem, ThreadStatus, WorkflowSummary
from app.chatkit.widgets import WidgetRoot

_EVENT: TypeAdapter[ThreadStreamEvent] = TypeAdapter(ThreadStreamEvent)
_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_TASK: TypeAdapter[Task] = TypeAdapter(Task)
_SUMMARY: TypeAdapter[WorkflowSummary] = TypeAdapter(WorkflowSummary)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)
_WIDGET: TypeAdapter[WidgetRoot] = TypeAdapter(WidgetRoot)


def to_own_event(event: Any) -> ThreadStreamEvent:
    """Return the event; raises ``TypeError`` for what is none."""
    try:
        return _EVENT.validate_python(event)
    except ValidationError as error:
        name = type(event).__qualname__
        raise TypeError(f"{name} of {type(event).__module__} is no event of a stream") from error


def to_own_item(item: Any) -> ThreadItem:
    """Return the item; raises ``ValidationError`` for what is none."""
    return _ITEM.validate_python(item)


def to_own_task(task: Any) -> Task:
    """Return the task, likewise."""
    return _TASK.validate_python(task)


def to_own_summary(summary: Any) -> WorkflowSummary:
    """Return the summary of a workflow, likewise."""
    return _SUMMARY.validate_python(summary)


def to_own_status(status: Any) -> ThreadStatus:
    """Return the status of a thread, likewise."""
    return _STATUS.validate_python(status)


def to_own_attachment(attachment: Any) -> Attachment:
    """Return the attachment, likewise."""
    return _ATTACHMENT.validate_python(attachment)


def to_own_widget(widget: Any) -> WidgetRoot:
    """Return the widget, likewise."""
    return _WIDGET.validate_python(widget)
