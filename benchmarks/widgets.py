"""What a widget of 500 components costs beside the official SDK: ``python -m benchmarks.widgets``.

It is built in code, loaded from stored JSON, written, compared, streamed (one text grows) and, of
ours alone, looked through for the actions that it offers. Rounds of both packages are interleaved,
and the best of each counts; what is meant to be compared between machines are the ratios.
"""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from app.chatkit.action_routing.guard import list_offers

COMPONENTS = 500
ROUNDS = 40
COLUMNS = 9
"""Components in a row, besides the row itself."""

Case = Callable[[], Any]


def build(widgets: Any, text: str = "So far") -> Any:
    """Return a card with ``COMPONENTS`` components, as an application would build it."""
    rows = [
        widgets.Row(
            gap=2,
            align="center",
            children=[
                widgets.Icon(name="star", color="success"),
                widgets.Text(id=f"text-{row}", value=text, weight="semibold", streaming=True),
                widgets.Caption(value="12 of 40", color={"light": "#111", "dark": "#eee"}),
                widgets.Badge(label="new", color="info", pill=True),
                widgets.Input(name=f"row-{row}.note", placeholder="Note"),
                widgets.Image(src="https://example.com/a.png", size=48, radius="md"),
                widgets.Spacer(),
                widgets.Divider(spacing=2),
                widgets.Button(
                    label="Open",
                    onClickAction=widgets.ActionConfig(type="row.open", payload={"row": row}),
                ),
            ],
        )
        for row in range(COMPONENTS // (COLUMNS + 1))
    ]
    return widgets.Card(size="md", padding={"x": 4, "y": 2}, children=rows)


def create_cases(widgets: Any, server: Any) -> dict[str, Case]:
    """Return what is measured, by name."""
    adapter: TypeAdapter[Any] = TypeAdapter(widgets.WidgetRoot)
    # A grown text at the very end: nothing can be skipped.
    before, after = build(widgets), build(widgets)
    last = after.children[-1].children[1]
    after.children[-1].children[1] = last.model_copy(update={"value": "So far, and on"})
    stored = before.model_dump_json(exclude_none=True)
    return {
        "build": lambda: build(widgets),
        "load": lambda: adapter.validate_json(stored),
        "write": lambda: adapter.dump_json(before, by_alias=True, exclude_none=True),
        "diff": lambda: server.diff_widget(before, after),
        "stream": lambda: asyncio.run(_stream(server, [before, after])),
    }


async def _stream(server: Any, states: list[Any]) -> None:
    async def generate() -> AsyncIterator[Any]:
        for state in states:
            yield state

    class Thread:
        id = "thr_1"

    async for _ in server.stream_widget(Thread(), generate()):
        pass


def time_once(case: Case) -> float:
    """Return how long a case takes, in seconds."""
    started = time.perf_counter()
    case()
    return time.perf_counter() - started


def main() -> None:
    """Measure both packages and print a table."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of widgets that are built by name
    ours, our_server = import_module("app.chatkit.widgets"), import_module("app.chatkit.server")
    cases = {
        "ours": create_cases(ours, our_server),
        "official": create_cases(import_module("chatkit.widgets"), import_module("chatkit.server")),
    }
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for package, measured in cases.items():
            for name, case in measured.items():
                key = (package, name)
                best[key] = min(best.get(key, float("inf")), time_once(case))

    print(f"A widget of {COMPONENTS} components, best of {ROUNDS}, in milliseconds\n")
    print(f"{'':8}{'ours':>8}{'official':>10}{'ratio':>8}")
    for name in cases["ours"]:
        our, their = best["ours", name] * 1000, best["official", name] * 1000
        print(f"{name:8}{our:8.2f}{their:10.2f}{our / their:8.2f}")
    widget = build(ours)
    guard = min(time_once(lambda: list_offers(widget)) for _ in range(ROUNDS)) * 1000
    print(f"{'guard':8}{guard:8.2f}{'none':>10}")


if __name__ == "__main__":
    main()
