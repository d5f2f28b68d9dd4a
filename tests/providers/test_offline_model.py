"""The offline model: a provider's exact event sequence, tools, and answers from its input alone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    ModelBehaviorError,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Runner,
    Tool,
    TResponseInputItem,
    function_tool,
)
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseFunctionToolCall

from app.assistant.converter import AssistantConverter
from app.chatkit.protocol.items import (
    CustomTask,
    EndOfTurnItem,
    GeneratedImage,
    GeneratedImageItem,
    HiddenContextItem,
    InferenceOptions,
    SDKHiddenContextItem,
    StructuredInputFreeform,
    StructuredInputItem,
    TaskItem,
    ThreadItem,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetItem,
    Workflow,
    WorkflowItem,
    now,
)
from app.chatkit.widgets import Card, Text
from app.providers.offline.events import split_words
from app.providers.offline.input import read_conversation
from app.providers.offline.model import OfflineModel
from app.providers.offline.script import INTENTS, shorten

ROOT = Path(__file__).parents[2]
REST: dict[str, Any] = {
    "output_schema": None,
    "handoffs": [],
    "tracing": ModelTracing.DISABLED,
    "previous_response_id": None,
    "conversation_id": None,
    "prompt": None,
}


@function_tool
def get_weather(city: str) -> str:
    """Return the weather."""
    return f"Sun over {city}."


async def stream(
    model_input: str | list[TResponseInputItem],
    *,
    tools: list[Tool] | None = None,
    settings: ModelSettings | None = None,
) -> list[TResponseStreamEvent]:
    model = OfflineModel(delay=0)
    events = model.stream_response(
        None, model_input, settings or ModelSettings(), tools or [], **REST
    )
    return [event async for event in events]


async def answer(
    model_input: str | list[TResponseInputItem], *tools: Tool, settings: ModelSettings | None = None
) -> ModelResponse:
    model = OfflineModel(delay=0)
    return await model.get_response(
        None, model_input, settings or ModelSettings(), list(tools), **REST
    )


def kinds(events: list[TResponseStreamEvent]) -> list[str]:
    """Return the types of the events, each run of deltas as one."""
    names: list[str] = []
    for event in events:
        if not names or names[-1] != event.type:
            names.append(event.type)
    return names


def user(text: str) -> TResponseInputItem:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> TResponseInputItem:
    return {"type": "message", "role": "assistant", "content": text}


def text_of(response: ModelResponse) -> str:
    return response.output[-1].content[0].text


BEGIN = ["response.created", "response.in_progress"]
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REFUSAL = [name.replace("output_text", "refusal") for name in MESSAGE]
SUMMARY_PART = [
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
]
REASONING = [
    "response.output_item.added",
    *SUMMARY_PART,
    *SUMMARY_PART,
    "response.output_item.done",
]
FUNCTION_CALL = [
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
]
IMAGE = [
    "response.output_item.added",
    "response.image_generation_call.in_progress",
    "response.image_generation_call.generating",
    "response.image_generation_call.partial_image",
    "response.image_generation_call.completed",
    "response.output_item.done",
]
END = ["response.completed"]


# --- the sequence of events ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", MESSAGE),
        ("refuse this", REFUSAL),
        ("make a plan", REASONING + MESSAGE),
        ("weather in Rome", FUNCTION_CALL),
        ("draw a sunset", IMAGE + MESSAGE),
    ],
)
async def test_events_come_in_a_providers_order(text: str, expected: list[str]) -> None:
    events = await stream(text, tools=[get_weather])
    assert kinds(events) == BEGIN + expected + END


async def test_every_event_is_numbered_and_points_to_its_item() -> None:
    events = await stream("make a plan")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    places: dict[str, int] = {}
    for event in events:
        item_id = getattr(event, "item_id", None)
        if item := getattr(event, "item", None):
            item_id = item.id
        if item_id:
            assert places.setdefault(item_id, event.output_index) == event.output_index
    assert list(places.values()) == [0, 1]


async def test_deltas_join_to_the_text_when_done() -> None:
    events = await stream("tell me a long story")
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    done = next(event for event in events if event.type == "response.output_text.done")
    assert len(pieces) > 500
    assert "".join(pieces) == done.text


async def test_completed_response_holds_output_and_usage() -> None:
    events = await stream("make a plan")
    response = events[-1].response
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert response.output == done
    assert response.usage.input_tokens == 3
    assert response.usage.total_tokens == 3 + response.usage.output_tokens > 20


async def test_ids_are_new_when_asked_twice() -> None:
    first, second = await stream("make a plan"), await stream("make a plan")
    ids = [
        event.item.id
        for event in (*first, *second)
        if event.type == "response.output_item.added" and event.item
    ]
    assert len(ids) == len(set(ids)) == 4


async def test_words_are_the_same_when_asked_twice() -> None:
    for intent in INTENTS[1:]:
        first = await answer(intent.example)
        second = await answer(intent.example)
        assert text_or_refusal(first) == text_or_refusal(second)


def text_or_refusal(response: ModelResponse) -> str:
    part = response.output[-1].content[0]
    return part.text if part.type == "output_text" else part.refusal


@pytest.mark.parametrize("ask", [stream, answer])
async def test_failure_is_raised_when_asked_for(ask: Callable[[str], Any]) -> None:
    with pytest.raises(ModelBehaviorError):
        await ask("fail")


async def test_failed_stream_has_shown_text_before() -> None:
    model = OfflineModel(delay=0)
    seen: list[TResponseStreamEvent] = []
    with pytest.raises(ModelBehaviorError):
        async for event in model.stream_response(None, "fail", ModelSettings(), [], **REST):
            seen.append(event)
    assert kinds(seen) == [*BEGIN, *MESSAGE[:3], "response.failed"]
    assert seen[-1].response.error.code == "server_error"


# --- what it says --------------------------------------------------------------------------------


async def test_whole_answer_equals_the_streamed_one() -> None:
    events = await stream("hello")
    streamed = events[-1].response.output[0].content[0].text
    assert text_of(await answer("hello")) == streamed


async def test_answer_counts_the_messages_in_its_input() -> None:
    text = text_of(await answer([user("My dog is Rex"), assistant("Fine"), user("And mine?")]))
    assert "You said: “And mine?”" in text
    assert "message 2" in text
    assert "My dog is Rex" in text
    assert "OPENAI_API_KEY" in text


async def test_answer_says_how_to_get_a_real_model_when_asked_for_help() -> None:
    text = text_of(await answer("help"))
    assert "OPENAI_API_KEY" in text
    assert all(intent.example in text for intent in INTENTS)


async def test_history_reaches_the_model_when_run_by_the_runner() -> None:
    agent = Agent(name="test", model=OfflineModel(delay=0))
    result = Runner.run_streamed(agent, [user("one"), assistant("ok"), user("two")])
    async for _ in result.stream_events():
        pass
    assert "message 2" in result.final_output
    assert "began with “one”" in result.final_output


async def test_context_messages_do_not_count_as_the_users_words() -> None:
    base: dict[str, Any] = {"thread_id": "thr_1", "created_at": now()}
    question = StructuredInputFreeform(id="q", question="Why?")
    task = CustomTask(title="Looked")
    card = Card(children=[Text(value="Sun")])
    tag = UserMessageTagContent(id="t", text="Ada", data={})
    url = "https://example.com/a.png"
    mine = UserMessageItem(
        id="1",
        content=[UserMessageTextContent(text="hi "), tag],
        quoted_text="quoted",
        inference_options=InferenceOptions(),
        **base,
    )
    items: list[ThreadItem] = [
        mine,
        WidgetItem(id="2", widget=card, **base),
        WidgetItem(id="3", widget=card, copy_text="Sun", **base),
        GeneratedImageItem(id="4", image=GeneratedImage(id="4", url=url), **base),
        GeneratedImageItem(id="5", image=GeneratedImage(id="5", url="/a.png"), **base),
        StructuredInputItem(id="6", inputs=[question], **base),
        TaskItem(id="7", task=task, **base),
        WorkflowItem(id="8", workflow=Workflow(type="custom", tasks=[task]), **base),
        HiddenContextItem(id="9", content={"a": 1}, **base),
        SDKHiddenContextItem(id="10", content="stopped", **base),
        EndOfTurnItem(id="11", **base),
    ]
    model_input = await AssistantConverter().to_agent_input(items)
    assert len(model_input) > len(items)
    assert read_conversation(model_input).user_texts == ["hi @Ada"]


# --- tools ---------------------------------------------------------------------------------------


async def test_tool_is_called_and_its_result_told_when_on_offer() -> None:
    agent = Agent(name="test", model=OfflineModel(delay=0), tools=[get_weather])
    result = Runner.run_streamed(agent, "What is the weather like in New York today?")
    async for _ in result.stream_events():
        pass
    assert "Sun over New York." in result.final_output


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("weather", "Paris"),
        ("What's the weather in San Francisco?", "San Francisco"),
        ("weather in Zürich please", "Zürich"),
        ("Weather for Oslo, and more", "Oslo"),
    ],
)
async def test_city_is_found_in_the_message(text: str, city: str) -> None:
    call = (await answer(text, get_weather)).output[0]
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.arguments == f'{{"city": "{city}"}}'
    assert call.call_id


async def test_tool_is_not_called_when_not_on_offer() -> None:
    assert "You said" in text_of(await answer("weather in Rome"))


async def test_tool_is_not_called_when_forbidden() -> None:
    settings = ModelSettings(tool_choice="none")
    assert "You said" in text_of(await answer("weather in Rome", get_weather, settings=settings))


async def test_tool_is_called_when_forced() -> None:
    settings = ModelSettings(tool_choice="get_weather")
    call = (await answer("hello", get_weather, settings=settings)).output[0]
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.name == "get_weather"


async def test_old_tool_result_is_not_told_again() -> None:
    history: list[TResponseInputItem] = [
        user("weather"),
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Sun."},
        assistant("Sun."),
        user("thanks"),
    ]
    assert "You said: “thanks”" in text_of(await answer(history))


async def test_note_is_told_when_an_action_left_one_behind_the_message() -> None:
    lead = "A note for you, which the user does not see:\n<HiddenContext>\n"
    note = user(f"{lead}The user clicked.\n</HiddenContext>")
    assert "> The user clicked." in text_of(await answer([user("weather"), note]))
    assert "You said: “thanks”" in text_of(await answer([user("weather"), note, user("thanks")]))


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.example)
def test_example_matches_its_intent_first(intent: Any) -> None:
    matching = [each for each in INTENTS if each.match(intent.example, None)]
    assert matching[0] is intent


def test_prompts_of_the_page_match_an_intent() -> None:
    page = (ROOT / "app" / "web" / "index.html").read_text()
    prompts = re.findall(r'data-prompt="([^"]+)">([^<]+)<', page)
    assert len(prompts) >= 4
    for prompt, label in prompts:
        assert prompt == label
        assert any(intent.match(prompt, None) for intent in INTENTS), prompt


# --- small things --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "a", " a  b\n\nc ", "ü 🎉\ttab"])
def test_split_words_loses_nothing(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_shorten_keeps_one_line_within_the_limit() -> None:
    assert shorten("a\n b") == "a b"
    assert len(shorten("word " * 100, 50)) <= 50
