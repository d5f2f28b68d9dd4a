"""What the user can do with the assistant's widgets.

A handler is declared with its type and its payload, and its name then builds the configuration for
a widget. What arrives has been checked: the stored widget offers exactly this, and nothing but the
form's own inputs was added to it.
"""

from collections.abc import AsyncIterator
from typing import Literal, get_args

from pydantic import BaseModel

from app.assistant.weather import Units, Weather, look_up_weather
from app.assistant.widgets.trip_form import create_trip_form
from app.assistant.widgets.weather_card import create_weather_card
from app.chatkit.action_routing.router import ActionCall, ActionRouter
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import WidgetItem
from app.chatkit.widgets import Button, DynamicWidgetRoot

actions = ActionRouter[RequestContext]()

# --- the weather card ----------------------------------------------------------------------------


class WeatherView(BaseModel):
    """A state of the card."""

    city: str
    units: Units
    starred: bool = False


@actions.on("weather.show", WeatherView)
async def show_weather(
    call: ActionCall[WeatherView, RequestContext],
) -> AsyncIterator[ThreadStreamEvent]:
    """Show the card in other units."""
    view = call.payload
    weather = look_up_weather(view.city, view.units)
    card = create_weather_card(weather, create_weather_buttons(weather, starred=view.starred))
    yield call.replace(card, copy_text=weather.sentence)


@actions.sync("weather.star", WeatherView)
async def star_weather(call: ActionCall[WeatherView, RequestContext]) -> WidgetItem:
    """Remember a city, or forget it. It is no stream, so it also works while an answer is."""
    view = call.payload
    weather = look_up_weather(view.city, view.units)
    did = "starred" if view.starred else "no longer starred"
    await call.add_hidden_context(f"The user has {did} the weather of {weather.city}.")
    buttons = create_weather_buttons(weather, starred=view.starred)
    return call.updated(create_weather_card(weather, buttons))


def create_weather_buttons(weather: Weather, *, starred: bool = False) -> list[Button]:
    """Return the buttons of the card: each carries the state that it leads to."""
    other: Units = "metric" if weather.units == "imperial" else "imperial"
    return [
        Button(
            label="°F" if other == "imperial" else "°C",
            variant="outline",
            size="sm",
            onClickAction=show_weather.config(city=weather.city, units=other, starred=starred),
        ),
        Button(
            label="Starred" if starred else "Star",
            iconStart="star-filled" if starred else "star",
            variant="ghost",
            size="sm",
            onClickAction=star_weather.config(
                city=weather.city, units=weather.units, starred=not starred
            ),
        ),
    ]


# --- the form for a trip -------------------------------------------------------------------------

Way = Literal["train", "plane", "boat"]


class Trip(BaseModel):
    """A trip as it was asked for: the city is fixed by the form, the rest is entered."""

    city: str
    by: Way
    day: str | None = None
    wish: str | None = None

    @property
    def sentence(self) -> str:
        """The trip in one sentence."""
        day = f" on {self.day[:10]}" if self.day else ""
        wish = f" Their wish: {self.wish}" if self.wish else ""
        return f"The user asked for a trip to {self.city} by {self.by}{day}.{wish}"


@actions.on("trip.request", Trip, once=True)
async def request_trip(
    call: ActionCall[Trip, RequestContext],
) -> AsyncIterator[ThreadStreamEvent]:
    """Close the form with what was entered, tell the model, and let it answer."""
    yield call.replace(values=call.payload, consumed=True)
    await call.add_hidden_context(call.payload.sentence)
    async for event in call.respond():
        yield event


def create_trip_widget(city: str) -> DynamicWidgetRoot:
    """Return the form for a trip to ``city``."""
    return create_trip_form(city, get_args(Way), request_trip.config(city=city))
