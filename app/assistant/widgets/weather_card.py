"""The card that shows the weather. Its sentence is streamed word by word."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from app.assistant.weather import Weather
from app.chatkit.widgets import Button, Caption, Card, Col, Divider, Icon, Row, Spacer, Text, Title

WORD_DELAY = 0.01


def create_weather_card(
    weather: Weather,
    buttons: Sequence[Button],
    sentence: str | None = None,
    *,
    streaming: bool = False,
) -> Card:
    """Return the card, with as much of the sentence as there is so far."""
    text = weather.sentence if sentence is None else sentence
    return Card(
        size="sm",
        children=[
            Row(
                align="center",
                gap=3,
                children=[
                    Icon(name=weather.icon, size="2xl"),
                    Col(
                        children=[Title(value=weather.city, size="sm"), Caption(value=weather.sky)]
                    ),
                    Spacer(),
                    Title(value=weather.temperature, size="lg"),
                ],
            ),
            Divider(),
            # The id makes appended text go out as deltas instead of as a whole new card.
            Text(id="weather-sentence", value=text, streaming=streaming, color="secondary"),
            Row(gap=2, children=[*buttons]),
        ],
    )


async def stream_weather_card(weather: Weather, buttons: Sequence[Button]) -> AsyncGenerator[Card]:
    """Yield the card again and again, each time with one more word."""
    words = weather.sentence.split(" ")
    for count in range(len(words)):
        yield create_weather_card(weather, buttons, " ".join(words[:count]), streaming=True)
        await asyncio.sleep(WORD_DELAY)
    yield create_weather_card(weather, buttons)
