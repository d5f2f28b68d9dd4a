"""What the assistant can do besides talking.

Three kinds of tools are shown: one that runs here and streams a widget, two that run in the page,
and two that ask the user. Who is calling is always taken from the request
(``call.context.request_context``), never from an argument that a model wrote.
"""

from typing import Literal

from agents import RunContextWrapper, Tool, function_tool

from app.assistant.actions import create_trip_widget, create_weather_buttons
from app.assistant.weather import choose_units, look_up_weather
from app.assistant.widgets.weather_card import stream_weather_card
from app.chatkit.agents import AgentContext, ClientToolCall
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadItemDoneEvent
from app.chatkit.protocol.items import (
    StructuredInput,
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    now,
)

# --- tools that run here -------------------------------------------------------------------------


@function_tool
async def get_weather(call: RunContextWrapper[AgentContext[RequestContext]], city: str) -> str:
    """Look up the current weather of a city, and show it to the user as a card.

    Args:
        city: The name of the city.
    """
    context = call.context
    await context.stream_progress(f"Looking at the sky over {city} …", icon="compass")
    weather = look_up_weather(city, choose_units(context.request_context.locale))
    card = stream_weather_card(weather, create_weather_buttons(weather))
    await context.stream_widget(card, copy_text=weather.sentence)
    return weather.sentence


# --- tools that run in the page: the run stops there, and goes on with what the page returns -----


@function_tool
async def switch_theme(
    call: RunContextWrapper[AgentContext[RequestContext]], theme: Literal["light", "dark"]
) -> None:
    """Switch the page's colours to a light or a dark theme.

    Args:
        theme: The theme to switch to.
    """
    call.context.client_tool_call = ClientToolCall(name="switch_theme", arguments={"theme": theme})


@function_tool
async def get_browser_time(call: RunContextWrapper[AgentContext[RequestContext]]) -> None:
    """Find out the time and the time zone where the user is."""
    call.context.client_tool_call = ClientToolCall(name="get_browser_time", arguments={})


# --- tools that ask the user: the run stops there, and goes on with the answers ------------------


@function_tool
async def ask_user(
    call: RunContextWrapper[AgentContext[RequestContext]], question: str, options: list[str]
) -> None:
    """Ask the user a question, and wait for the answer.

    Args:
        question: The question.
        options: Answers to choose from; none for an answer in the user's own words.
    """
    context = call.context
    item = StructuredInputItem(
        id=context.generate_id("message"),
        thread_id=context.thread.id,
        created_at=now(),
        inputs=[_create_question(question, options)],
    )
    await context.stream(ThreadItemDoneEvent(item=item))


def _create_question(question: str, options: list[str]) -> StructuredInput:
    if not options:
        return StructuredInputFreeform(id="question", question=question)
    choices = [StructuredInputMultipleChoiceOption(value=each) for each in options]
    return StructuredInputMultipleChoice(id="question", question=question, options=choices)


@function_tool
async def offer_trip(call: RunContextWrapper[AgentContext[RequestContext]], city: str) -> None:
    """Show the user a form for a trip to a city, and wait until they have filled it in.

    Args:
        city: The city to travel to.
    """
    text = f"A form for a trip to {city}"
    await call.context.stream_widget(create_trip_widget(city), copy_text=text)


TOOLS: list[Tool] = [get_weather, switch_theme, get_browser_time, ask_user, offer_trip]

STOPPING_TOOLS: list[Tool] = [switch_theme, get_browser_time, ask_user, offer_trip]
"""Tools whose answer comes from the page: the run ends with them, and a new one goes on."""
