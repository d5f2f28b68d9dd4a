"""Requests that continue a thread, and the items that they are about."""

from typing import Any

from app.chatkit.protocol.items import (
    ClientToolCallItem,
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    WidgetItem,
)
from app.chatkit.widgets import ActionConfig, Button, Card
from tests.chatkit.scripted_server import (
    body,
)
from tests.support.samples import THREAD_ID, base


def pending_call(item_id: str = "call") -> ClientToolCallItem:
    return ClientToolCallItem(**base(item_id), call_id=item_id, name="n", arguments={})


def questions(item_id: str = "questions") -> StructuredInputItem:
    options = [StructuredInputMultipleChoiceOption(value=each) for each in "ab"]
    return StructuredInputItem(
        **base(item_id),
        inputs=[
            StructuredInputMultipleChoice(id="one", question="One?", options=options),
            StructuredInputMultipleChoice(id="many", question="?", options=options, multiple=True),
            StructuredInputFreeform(id="free", question="Why?"),
        ],
    )


def widget(item_id: str = "widget") -> WidgetItem:
    offered = (
        ActionConfig(type="a"),
        ActionConfig(type="go", payload={"a": [None]}),
        ActionConfig(type="a", payload=1, streaming=False),
    )
    buttons = [Button(label="Go", onClickAction=each) for each in offered]
    return WidgetItem(**base(item_id), widget=Card(children=buttons))


def return_output(result: Any = None) -> bytes:
    return body("threads.add_client_tool_output", thread_id=THREAD_ID, result=result)


def submit(item_id: str = "questions", **submission: Any) -> bytes:
    return body(
        "threads.add_structured_input", thread_id=THREAD_ID, item_id=item_id, input=submission
    )


def retry(item_id: str, thread_id: str = THREAD_ID) -> bytes:
    return body("threads.retry_after_item", thread_id=thread_id, item_id=item_id)


def act(item_id: str | None = None, thread_id: str = THREAD_ID, **action: Any) -> bytes:
    return body(
        "threads.custom_action", thread_id=thread_id, item_id=item_id, action={"type": "a"} | action
    )
