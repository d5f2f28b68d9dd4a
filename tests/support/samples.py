"""One item of every kind, with everything in it that a kind can hold."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AnyUrl

from app.chatkit.actions import ActionConfig
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageItem,
    AttachmentUploadDescriptor,
    ClientToolCallItem,
    CustomSummary,
    CustomTask,
    DurationSummary,
    EndOfTurnItem,
    EntitySource,
    FileAttachment,
    FileSource,
    FileTask,
    GeneratedImage,
    GeneratedImageItem,
    HiddenContextItem,
    ImageAttachment,
    ImageTask,
    InferenceOptions,
    SDKHiddenContextItem,
    SearchTask,
    StructuredInputAnswer,
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    TaskItem,
    ThoughtTask,
    ThreadItem,
    ToolChoice,
    URLSource,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from app.chatkit.widgets import Button, Card, Markdown, Row, Text, Transition

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
THREAD_ID = "thr_1"


def base(item_id: str, thread_id: str = THREAD_ID) -> dict[str, Any]:
    """Return the fields of every item. Later ids get earlier times: order is not by time."""
    return {
        "id": item_id,
        "thread_id": thread_id,
        "created_at": MOMENT - timedelta(minutes=sum(map(ord, item_id[-8:]))),
    }


def answer(item_id: str, *texts: str) -> AssistantMessageItem:
    """Return an assistant message of text parts."""
    return AssistantMessageItem(
        **base(item_id), content=[AssistantMessageContent(text=each) for each in texts]
    )


def hidden(item_id: str, content: Any = "for the model") -> HiddenContextItem:
    """Return an item that no client sees."""
    return HiddenContextItem(**base(item_id), content=content)


def question(item_id: str, text: str = "Hello", *attachments: Any) -> UserMessageItem:
    """Return a user message."""
    return UserMessageItem(
        **base(item_id),
        content=[UserMessageTextContent(text=text)],
        attachments=list(attachments),
        inference_options=InferenceOptions(),
    )


def file(attachment_id: str = "atc_1", thread_id: str | None = None) -> FileAttachment:
    """Return an attachment that carries metadata of the server's own."""
    return FileAttachment(
        id=attachment_id,
        name="Über.pdf",
        mime_type="application/pdf",
        thread_id=thread_id,
        upload_descriptor=AttachmentUploadDescriptor(
            url=AnyUrl("https://files.example/1?a=b"), method="PUT", headers={"x-a": "b"}
        ),
        metadata={"secret": "path", "nothing": None},
    )


SOURCES: list[Any] = [
    URLSource(title="Page", url="https://example.org", attribution="Example", group="g"),
    FileSource(title="File", filename="a.txt", description="d", timestamp="2030"),
    EntitySource(title="Ada", id="1", icon="user", label="l", interactive=True, data={"a": None}),
]

ITEMS: list[ThreadItem] = [
    UserMessageItem(
        **base("user"),
        content=[
            UserMessageTextContent(text="Look at this: äöü 🎈\n\u2028"),
            UserMessageTagContent(id="t", text="Ada", data={"deep": [{"a": None}]}, group="g"),
        ],
        attachments=[
            file(thread_id=THREAD_ID),
            ImageAttachment(
                id="atc_2",
                name="a.png",
                mime_type="image/png",
                preview_url=AnyUrl("data:image/png;base64,AA"),
                metadata={},
            ),
        ],
        quoted_text="quoted",
        inference_options=InferenceOptions(tool_choice=ToolChoice(id="search"), model="m"),
    ),
    AssistantMessageItem(
        **base("assistant"),
        content=[
            AssistantMessageContent(
                text="Hi",
                annotations=[Annotation(source=each, index=at) for at, each in enumerate(SOURCES)],
            ),
            AssistantMessageContent(text=""),
        ],
    ),
    ClientToolCallItem(
        **base("call"),
        status="completed",
        call_id="c",
        name="n",
        arguments={"z": None, "a": [1, 2.5, "x", {"b": None}]},
        output={"result": [None, False, 10**30]},
    ),
    WidgetItem(
        **base("widget"),
        widget=Card(
            id="card",
            children=[
                Text(id="text", value="v", streaming=True),
                Row(children=[Markdown(value="*m*")]),
                Transition(children=Text(value="in", id="inner")),
                Button(
                    label="Go",
                    onClickAction=ActionConfig(type="go", payload={"a": None, "l": [None, 1]}),
                ),
            ],
        ),
        copy_text="copy",
    ),
    GeneratedImageItem(**base("image"), image=GeneratedImage(id="i", url="data:,")),
    GeneratedImageItem(**base("no_image")),
    StructuredInputItem(
        **base("questions"),
        inputs=[
            StructuredInputMultipleChoice(
                id="q1",
                question="Which?",
                options=[StructuredInputMultipleChoiceOption(value="a")],
                multiple=True,
                answer=StructuredInputAnswer(values=["a", "b"]),
            ),
            StructuredInputFreeform(id="q2", question="Why?", description="d"),
        ],
    ),
    TaskItem(**base("task"), task=CustomTask(title="T", icon="star", content="c")),
    WorkflowItem(
        **base("workflow"),
        workflow=Workflow(
            type="reasoning",
            tasks=[
                ThoughtTask(content="Hm"),
                SearchTask(title="S", queries=["q"], sources=[SOURCES[0]]),
                FileTask(sources=[SOURCES[1]]),
                ImageTask(title="I", status_indicator="complete"),
            ],
            summary=DurationSummary(duration=3),
            expanded=True,
        ),
    ),
    WorkflowItem(
        **base("workflow_2"),
        workflow=Workflow(type="custom", tasks=[], summary=CustomSummary(title="Done")),
    ),
    EndOfTurnItem(**base("end")),
    hidden("hidden", {"a": [None]}),
    hidden("hidden_null", None),
    SDKHiddenContextItem(**base("sdk_hidden"), content="stopped"),
]
"""Every kind of item, some of them twice."""
