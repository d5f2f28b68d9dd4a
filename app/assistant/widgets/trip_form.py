"""The form for a trip, drawn in the Widget Builder: ``trip_form.widget`` is its export."""

from collections.abc import Sequence

from app.chatkit.actions import ActionConfig
from app.chatkit.widgets import DynamicWidgetRoot, WidgetTemplate

FILE = "trip_form.widget"

WidgetTemplate.from_file(FILE)  # a malformed file stops the start, and says where it is wrong


def create_trip_form(city: str, ways: Sequence[str], submit: ActionConfig) -> DynamicWidgetRoot:
    """Return the form; a changed file shows without a restart."""
    data = {"city": city, "ways": list(ways), "submit": submit}
    return WidgetTemplate.from_file(FILE).build(data)
