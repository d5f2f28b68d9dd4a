"""Weather for the demo: made up, but always the same for the same city."""

import zlib
from dataclasses import dataclass
from typing import Literal

from app.chatkit.icons import IconName

SKIES: tuple[tuple[str, IconName], ...] = (
    ("sunny", "lucide:sun"),
    ("partly cloudy", "lucide:cloud-sun"),
    ("cloudy", "lucide:cloud"),
    ("rainy", "lucide:cloud-rain"),
    ("windy", "lucide:wind"),
)
FAHRENHEIT_REGIONS = ("-US", "-LR")

Units = Literal["metric", "imperial"]


@dataclass(frozen=True)
class Weather:
    """What the weather is like; ``temperature`` and ``wind`` are written with their units."""

    city: str
    units: Units
    sky: str
    icon: IconName
    temperature: str
    wind: str

    @property
    def sentence(self) -> str:
        """The weather in one sentence."""
        return f"In {self.city} it is {self.temperature} and {self.sky}, with {self.wind} of wind."


def choose_units(locale: str) -> Units:
    """Return the units that a locale (BCP 47) is used to."""
    return "imperial" if locale.endswith(FAHRENHEIT_REGIONS) else "metric"


def look_up_weather(city: str, units: Units) -> Weather:
    """Return the weather of ``city``."""
    name = " ".join(city.split())[:60] or "Nowhere"
    number = zlib.crc32(name.casefold().encode())
    sky, icon = SKIES[number % len(SKIES)]
    celsius, wind = number // 7 % 30, number // 11 % 40
    if units == "imperial":
        fahrenheit = celsius * 9 // 5 + 32
        return Weather(name, units, sky, icon, f"{fahrenheit} °F", f"{wind * 5 // 8} mph")
    return Weather(name, units, sky, icon, f"{celsius} °C", f"{wind} km/h")
