"""The assistant's widgets as a user clicks them, and what the model and the page get of it."""

from pathlib import Path
from typing import Any

import pytest

from app.assistant.server import AssistantServer
from app.assistant.widgets import trip_form
from app.chatkit.widgets.templates import WidgetTemplate, WidgetTemplateError
from app.providers.models import AssistantModels
from app.providers.offline.model import OfflineModel
from app.settings import Settings
from tests.support.conversation import Conversation, Event, answer_text, done_items, types
from tests.support.memory_store import MemoryStore


class ListeningModel(OfflineModel):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(delay=0)
        self.inputs: list[Any] = []

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        self.inputs.append(args[1])
        return super().stream_response(*args, **kwargs)

    @property
    def last_input(self) -> str:
        """The words of the last input."""
        return str(self.inputs[-1])


class Models(AssistantModels):
    """Hands out one model that listens."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.listening = ListeningModel()

    def get_model(self, model_name: str | None = None) -> ListeningModel:
        return self.listening


class User(Conversation):
    """Clicks on widgets, too."""

    def __init__(self) -> None:
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        self.models = Models(settings)
        super().__init__(AssistantServer(MemoryStore(), settings=settings, models=self.models))
        self.model = self.models.listening

    async def show(self, text: str) -> Event:
        """Say something that is answered with a widget; return its item."""
        (item,) = done_items(await self.say(text), "widget")
        return item

    async def click(self, item: Event, offered: Event, **entered: Any) -> list[Event]:
        """Send an action that answers with a stream, with what was entered in its form."""
        action = {"type": offered["type"], "payload": {**offered["payload"], **entered}}
        return await self.stream(
            "threads.custom_action", thread_id=self.thread_id, item_id=item["id"], action=action
        )

    async def click_sync(self, item: Event, offered: Event) -> Event:
        """Send an action that answers with the changed item; return that."""
        params = {"thread_id": self.thread_id, "item_id": item["id"], "action": offered}
        return (await self.ask("threads.sync_custom_action", **params))["updated_item"]

    async def reload(self, item: Event) -> Event:
        """Return an item as it is stored."""
        return next(each for each in await self.load_items() if each["id"] == item["id"])


@pytest.fixture
def user() -> User:
    return User()


def buttons(item: Event) -> list[Event]:
    return item["widget"]["children"][-1]["children"]


async def test_card_is_replaced_for_good_when_other_units_are_chosen(user: User) -> None:
    card = await user.show("What is the weather in Paris?")
    events = await user.click(card, buttons(card)[0]["onClickAction"])
    assert types(events) == ["stream_options", "thread.item.replaced(widget)"]
    shown = events[-1]["item"]
    assert "°F" in shown["copy_text"]
    assert [each["label"] for each in buttons(shown)] == ["°C", "Star"]
    assert await user.reload(card) == shown

    back = await user.click(shown, buttons(shown)[0]["onClickAction"])
    assert back[-1]["item"]["widget"] == card["widget"]


async def test_city_is_starred_at_once_when_the_star_is_clicked(user: User) -> None:
    card = await user.show("What is the weather in Paris?")
    starred = await user.click_sync(card, buttons(card)[1]["onClickAction"])
    assert buttons(starred)[1]["label"] == "Starred"
    assert await user.reload(card) == starred

    again = await user.click_sync(starred, buttons(starred)[1]["onClickAction"])
    assert again["widget"] == card["widget"]


async def test_model_hears_of_the_star_on_its_next_turn_and_the_client_never(user: User) -> None:
    card = await user.show("What is the weather in Paris?")
    starred = await user.click_sync(card, buttons(card)[1]["onClickAction"])
    events = await user.say("And now?")
    assert "The user has starred the weather of Paris." in user.model.last_input
    for shown in (starred, events, await user.load_items()):
        assert "has starred" not in str(shown)


async def test_form_is_closed_and_answered_when_a_trip_is_asked_for(user: User) -> None:
    form = await user.show("Plan a trip to Rome")
    submit = form["widget"]["confirm"]["action"]
    assert submit["payload"] == {"city": "Rome"}
    events = await user.click(form, submit, by="boat", day="2030-05-06", wish="Sun")

    assert types(events)[:3] == [
        "stream_options",
        "thread.item.replaced(widget)",
        "thread.item.added(assistant_message)",
    ]
    sentence = "The user asked for a trip to Rome by boat on 2030-05-06. Their wish: Sun"
    assert sentence in user.model.last_input
    assert sentence in answer_text(events)
    assert not done_items(events, "hidden_context_item")
    kept = await user.reload(form)
    assert "confirm" not in kept["widget"]
    fields = {
        each["name"]: (each["defaultValue"], each["disabled"]) for each in inputs(kept["widget"])
    }
    assert fields == {"day": ("2030-05-06", True), "by": ("boat", True), "wish": ("Sun", True)}


async def test_second_submission_is_refused_when_the_form_is_closed(user: User) -> None:
    form = await user.show("Plan a trip to Rome")
    submit = form["widget"]["confirm"]["action"]
    await user.click(form, submit, by="boat")
    before = await user.load_items()
    events = await user.click(form, submit, by="boat")
    assert types(events) == ["stream_options", "error"]
    assert await user.load_items() == before


async def test_reason_is_told_when_a_choice_is_none_of_the_options(user: User) -> None:
    form = await user.show("Plan a trip to Rome")
    events = await user.click(form, form["widget"]["confirm"]["action"], by="broom")
    assert events[-1]["message"].startswith(
        'The action "trip.request" was not accepted: payload.by: '
    )


def test_start_fails_with_name_and_line_when_a_file_is_malformed(tmp_path: Path) -> None:
    text = Path(trip_form.__file__).with_suffix(".widget").read_text(encoding="utf-8")
    broken = tmp_path / trip_form.FILE
    broken.write_text(text.replace('"name": "Trip form"', '"name": Trip form'))
    with pytest.raises(WidgetTemplateError, match=r"trip_form\.widget:3: no JSON"):
        WidgetTemplate.from_file(broken)


def inputs(node: Any) -> list[Event]:
    if isinstance(node, list):
        return [each for child in node for each in inputs(child)]
    own = [node] if node["type"] in ("DatePicker", "Select", "Textarea") else []
    return own + inputs(node.get("children", []))
