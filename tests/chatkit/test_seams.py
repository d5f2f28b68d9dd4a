"""Private methods of the official server that people override: they count, or they are refused."""

from typing import Any

import pytest

from app.chatkit.agents import ThreadItemConverter
from app.chatkit.server import ChatKitServer
from app.chatkit.server.seams import REPLACEMENTS, SEAMS
from tests.chatkit.scripted_server import (
    ADA,
    ScriptedServer,
    ask,
    body,
    done,
    say,
    store_with,
    stream,
)
from tests.conformance.official_surface import official
from tests.support.samples import THREAD_ID, answer, hidden, question

PRIVATE = {
    name
    for name, value in vars(official("server").ChatKitServer).items()
    if name.startswith("_") and not name.startswith(("__", "_abc_")) and callable(value)
}


def test_every_private_method_of_the_official_server_is_a_seam_or_is_refused() -> None:
    assert SEAMS | REPLACEMENTS.keys() == PRIVATE
    assert not SEAMS & REPLACEMENTS.keys()


@pytest.mark.parametrize("name", sorted(REPLACEMENTS))
def test_class_is_refused_when_it_defines_what_nothing_calls(name: str) -> None:
    with pytest.raises(TypeError, match="would never be called here; override ") as refused:
        type("Mine", (ScriptedServer,), {name: lambda self: None})
    assert f"Mine.{name}" in str(refused.value)
    assert REPLACEMENTS[name] in str(refused.value)


class Marking(ScriptedServer):
    """Marks what passes through its seams."""

    async def _build_user_message_item(self, input: Any, thread: Any, context: Any) -> Any:
        item = await super()._build_user_message_item(input, thread, context)
        return item.model_copy(update={"quoted_text": f"quoted in {thread.id}"})

    def _to_thread_response(self, thread: Any) -> Any:
        shown = super()._to_thread_response(thread)
        return shown.model_copy(update={"metadata": {"marked": True}})


async def test_message_is_the_one_that_a_subclass_builds() -> None:
    server = Marking([], await store_with())
    events = await stream(server, say())
    assert events[0]["item"]["quoted_text"] == f"quoted in {THREAD_ID}"
    assert server.calls[0][1].quoted_text == f"quoted in {THREAD_ID}"
    (stored,) = server.store.items(THREAD_ID, ADA)
    assert stored.quoted_text == f"quoted in {THREAD_ID}"


async def test_thread_is_shown_as_a_subclass_shows_it() -> None:
    async def rename(thread: Any, *_: Any) -> Any:
        thread.title = "New"
        yield done(answer("a", "Hi"))

    store = await store_with(question("q"), hidden("h"))
    server = Marking(rename, store)
    thread = {"thread_id": THREAD_ID}
    shown = [
        (await ask(server, body("threads.get_by_id", **thread))),
        (await ask(server, body("threads.list")))["data"][0],
        (await ask(server, body("threads.update", **thread, title="T"))),
        (await stream(server, say(None)))[0]["thread"],
        next(each for each in await stream(server, say()) if each["type"] == "thread.updated")[
            "thread"
        ],
    ]
    assert [each["metadata"] for each in shown] == [{"marked": True}] * 5
    assert [each["id"] for each in shown[0]["items"]["data"]] == ["q"]


async def test_converter_is_asked_item_by_item() -> None:
    class Counting(ThreadItemConverter):
        async def _thread_item_to_input_item(
            self, item: Any, is_last_message: bool = True
        ) -> list[Any]:
            asked.append((item.id, is_last_message))
            return await super()._thread_item_to_input_item(item, is_last_message)

    asked: list[tuple[str, bool]] = []
    given = await Counting().to_agent_input([question("q"), answer("a", "Hi"), question("r")])
    assert asked == [("q", False), ("a", False), ("r", True)]
    assert len(given) == 3


def test_base_class_has_the_seams() -> None:
    assert all(name in vars(ChatKitServer) for name in SEAMS)
