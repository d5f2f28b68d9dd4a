"""The assistant as a client meets it, with the offline model: every path that it can show."""

import asyncio
from typing import Any

import pytest

from app.assistant import server as server_module
from app.assistant.server import AssistantServer
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    InferenceOptions,
    ThreadMetadata,
    ToolChoice,
    UserMessageItem,
    now,
)
from app.providers.models import AssistantModels
from app.settings import Settings
from tests.support.conversation import Conversation, answer_text, done_items, types
from tests.support.memory_store import MemoryStore
from tests.support.waiting import until


class CountingStore(MemoryStore):
    """Counts how often items are loaded."""

    item_pages = 0

    async def load_thread_items(self, *args: Any, **kwargs: Any) -> Any:
        self.item_pages += 1
        return await super().load_thread_items(*args, **kwargs)


def create_server(store: MemoryStore | None = None, **values: Any) -> AssistantServer:
    settings = Settings(_env_file=None, **values)  # type: ignore[call-arg]
    models = AssistantModels(settings, offline_delay=0)
    return AssistantServer(store or MemoryStore(), settings=settings, models=models)


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(create_server())


def message(**options: Any) -> UserMessageItem:
    return UserMessageItem(
        id="msg_1",
        thread_id="thr_1",
        created_at=now(),
        content=[],
        inference_options=InferenceOptions(**options),
    )


ANSWER = [
    "thread.item.added(assistant_message)",
    "assistant_message.content_part.added",
    "assistant_message.content_part.text_delta",
    "assistant_message.content_part.done",
    "thread.item.done(assistant_message)",
]


def without_title(events: list[dict[str, Any]]) -> list[str]:
    """Return the types of the events but for the title, which comes as soon as it is known."""
    return types([event for event in events if event["type"] != "thread.updated"])


# --- plain answers -------------------------------------------------------------------------------


async def test_first_message_is_answered_in_the_protocols_order(conversation: Conversation) -> None:
    events = await conversation.say("hello")
    assert without_title(events) == [
        "thread.created",
        "thread.item.done(user_message)",
        "stream_options",
        *ANSWER,
    ]
    assert "You said: “hello”" in answer_text(events)


async def test_second_message_is_answered_with_the_history(conversation: Conversation) -> None:
    await conversation.say("My name is Ada")
    events = await conversation.say("What is my name?")
    assert types(events) == ["thread.item.done(user_message)", "stream_options", *ANSWER]
    assert "message 2" in answer_text(events)
    assert "My name is Ada" in answer_text(events)


async def test_history_is_the_newest_items_when_there_are_many() -> None:
    conversation = Conversation(create_server(history_items=3))
    await conversation.say("one")
    await conversation.say("two")
    events = await conversation.say("three")
    assert "message 2" in answer_text(events)
    assert "began with “two”" in answer_text(events)


async def test_items_are_loaded_once_a_turn_and_never_for_a_new_thread() -> None:
    store = CountingStore()
    conversation = Conversation(create_server(store))
    await conversation.say("hello")
    assert store.item_pages == 0
    await conversation.say("again")
    assert store.item_pages == 1


async def test_history_is_that_of_the_caller_alone() -> None:
    server = create_server()
    await Conversation(server, RequestContext(user_id="user_1")).say("mine")
    events = await Conversation(server, RequestContext(user_id="user_2")).say("yours")
    assert "message 1" in answer_text(events)


async def test_title_is_set_in_the_first_turn_alone(conversation: Conversation) -> None:
    first = await conversation.say("Plain talk\nand more")
    second = await conversation.say("Something else")
    created = next(each for each in first if each["type"] == "thread.created")
    assert created["thread"]["title"] == "Plain talk and more"
    assert "thread.updated" not in types(first) + types(second)  # it was stored at once
    store = conversation.server.store
    thread = await store.load_thread(conversation.thread_id, conversation.context)
    assert thread.title == "Plain talk and more"


async def test_no_task_is_left_when_a_stream_is_closed_early(conversation: Conversation) -> None:
    await conversation.say("hello")
    tasks = asyncio.all_tasks()
    stream = await conversation.start_saying("a long story")
    for _ in range(20):
        await anext(stream)
    await stream.aclose()
    await until(lambda: asyncio.all_tasks() == tasks)
    partial = (await conversation.load_items())[-1]
    assert partial["type"] == "assistant_message"
    assert partial["content"][0]["text"].startswith("## Night 1")


# --- what the intents show -----------------------------------------------------------------------


async def test_weather_is_shown_as_a_widget_and_told(conversation: Conversation) -> None:
    events = await conversation.say("What is the weather in Paris?")
    assert without_title(events) == [
        "thread.created",
        "thread.item.done(user_message)",
        "stream_options",
        "progress_update",
        "thread.item.added(widget)",
        "widget.streaming_text.value_delta",
        "thread.item.done(widget)",
        *ANSWER,
    ]
    (item,) = done_items(events, "widget")
    (sentence,) = [each for each in item["widget"]["children"] if each["type"] == "Text"]
    assert sentence["value"] == item["copy_text"]
    assert "°C" in item["copy_text"]
    assert item["copy_text"] in answer_text(events)


async def test_weather_uses_the_callers_units() -> None:
    context = RequestContext(user_id="user_1", locale="en-US")
    events = await Conversation(create_server(), context).say("weather in Paris")
    assert "°F" in answer_text(events)


async def test_conversation_goes_on_after_a_widget(conversation: Conversation) -> None:
    await conversation.say("weather in Paris")
    events = await conversation.say("thanks")
    assert "message 2" in answer_text(events)


async def test_client_tool_call_ends_the_stream_and_its_output_continues_it(
    conversation: Conversation,
) -> None:
    events = await conversation.say("switch to the dark theme")
    (call,) = done_items(events, "client_tool_call")
    assert call["name"] == "switch_theme"
    assert call["arguments"] == {"theme": "dark"}
    assert call["status"] == "pending"
    assert not done_items(events, "assistant_message")

    events = await conversation.return_tool_output({"theme": "dark"})
    assert types(events) == ["stream_options", *ANSWER]
    assert '`switch_theme` came back with:\n\n> {"theme": "dark"}' in answer_text(events)


async def test_client_tool_returns_something_to_talk_about(conversation: Conversation) -> None:
    await conversation.say("what time is it in my browser?")
    events = await conversation.return_tool_output("12:00 in Lisbon")
    assert "12:00 in Lisbon" in answer_text(events)


async def test_reasoning_is_shown_as_a_workflow(conversation: Conversation) -> None:
    events = await conversation.say("make a plan")
    (item,) = done_items(events, "workflow")
    assert item["workflow"]["type"] == "reasoning"
    assert len(item["workflow"]["tasks"]) == 2
    assert without_title(events)[-len(ANSWER) :] == ANSWER


async def test_question_waits_for_its_answer(conversation: Conversation) -> None:
    events = await conversation.say("ask me something")
    (item,) = done_items(events, "structured_input")
    assert item["status"] == "pending"
    assert not done_items(events, "assistant_message")

    events = await conversation.answer_questions(item["id"], {"question": ["Widgets"]})
    assert "Widgets" in answer_text(events)
    assert "thread.item.replaced(structured_input)" in types(events)

    events = await conversation.say("thanks")
    assert "You said: “thanks”" in answer_text(events)


async def test_refusal_is_shown(conversation: Conversation) -> None:
    events = await conversation.say("refuse")
    assert "can't help" in answer_text(events)


async def test_failure_is_told_and_what_was_seen_is_kept(conversation: Conversation) -> None:
    events = await conversation.say("fail")
    (error,) = [event for event in events if event["type"] == "error"]
    assert error["code"] == "custom"
    assert error["allow_retry"] is True
    assert answer_text(events).startswith("I begin to answer")
    kept = (await conversation.load_items())[-1]
    assert kept["content"][0]["text"].startswith("I begin to answer")

    events = await conversation.say("and now?")
    assert "message 2" in answer_text(events)


# --- inference options ---------------------------------------------------------------------------


async def test_tool_is_forced_when_the_page_picks_a_known_one(conversation: Conversation) -> None:
    events = await conversation.say(
        "hello", inference_options={"tool_choice": {"id": "get_weather"}}
    )
    assert done_items(events, "widget")


@pytest.mark.parametrize(
    "options", [{"tool_choice": {"id": "drop_tables"}}, {"model": "expensive"}, {}]
)
async def test_unknown_wishes_are_ignored(
    conversation: Conversation, options: dict[str, Any]
) -> None:
    events = await conversation.say("hello", inference_options=options)
    assert "You said" in answer_text(events)


def test_model_is_chosen_when_it_is_on_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server()
    thread = ThreadMetadata(id="thr_1", created_at=now())
    assert server.create_run_config(thread, message(model="large")).model is None
    monkeypatch.setattr(server_module, "SELECTABLE_MODELS", frozenset({"large"}))
    assert server.create_run_config(thread, message(model="large")).model == "large"
    assert server.create_run_config(thread, message(model="other")).model is None


def test_tool_choice_reaches_the_model_settings() -> None:
    server = create_server()
    thread = ThreadMetadata(id="thr_1", created_at=now())
    config = server.create_run_config(thread, message(tool_choice=ToolChoice(id="ask_user")))
    assert config.model_settings is not None
    assert config.model_settings.tool_choice == "ask_user"


# --- tracing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "disabled"),
    [
        ({}, True),
        ({"tracing": True}, True),
        ({"openai_api_key": "sk-1"}, True),
        ({"openai_api_key": "sk-1", "tracing": True}, False),
    ],
)
async def test_tracing_is_off_unless_wanted_and_possible(
    values: dict[str, Any], disabled: bool
) -> None:
    server = create_server(**values)
    config = server.create_run_config(ThreadMetadata(id="thr_1", created_at=now()), None)
    assert config.tracing_disabled is disabled
    assert config.tracing == (None if disabled else {"api_key": "sk-1"})
    await server.aclose()
