"""The states of each example file: what it shows first, and what becomes of it."""

from pathlib import Path
from typing import Any

Data = dict[str, Any]

FILES = Path(__file__).parent / "files"


def _order(**changes: Any) -> Data:
    items = [
        {
            "sku": "A-1",
            "name": "Tea “Earl\nGrey”",
            "image": "https://example.com/a.png",
            "count": 2,
            "price": 4.5,
        },
        {
            "sku": "B-2",
            "name": "Pot </script>",
            "image": "https://example.com/b.png",
            "count": 1,
            "price": 29,
        },
    ]
    return {"number": "2030-17", "total": 38.0, "note": None, "items": items, **changes}


def _flight(name: str, price: str, *, cheap: bool = False) -> Data:
    legs = ["RIX", "ARN", "HND"]
    times = {"leaves": "06:55", "arrives": "07:40 (+1)"}
    return {"id": name, "legs": legs, "price": price, "cheap": cheap, **times}


def _days(orders: int) -> list[Data]:
    return [
        {"day": "mon", "orders": orders, "visits": 120.5, "errors": 0},
        {"day": "tue", "orders": 14, "visits": 99, "errors": 2},
    ]


_POLL: Data = {
    "id": 7,
    "question": "Which one?",
    "options": [{"value": "a", "label": "The first"}, {"value": "b", "label": "The second"}],
}
_IMAGES = [
    {"url": f"https://example.com/{each}.jpg", "alt": f"№ {each}", "ratio": ratio}
    for each, ratio in ((1, 1.5), (2, "4/3"), (3, 1))
]
_BOOKING: Data = {
    "room": 12,
    "name": "Ada",
    "price": None,
    "stay": {"from": None, "to": None},
}
_TASKS = [{"id": each, "title": f"Task {each}", "done": each == 1} for each in (1, 2, 3)]

STATES: dict[str, list[Data]] = {
    "order_card": [_order(), _order(note="Sent to"), _order(note="Sent to Riga", total=40)],
    "flight_list": [
        {"status": "Searching", "flights": []},
        {"status": "Searching", "flights": [_flight("f1", "€ 610")]},
        {"status": "2 found", "flights": [_flight("f1", "€ 590", cheap=True), _flight("f2", "?")]},
    ],
    "contact_form": [
        {"ticket": 3, "title": "Write to us", "person": {"name": name}, "topics": topics}
        for name, topics in (("", ["Bill"]), ("Ada", ["Bill", "Other \\ things"]))
    ],
    "dashboard": [
        {"figures": [{"name": "Orders", "value": value}], "days": _days(value)}
        for value in (3, 4, 1_000_000)
    ],
    "price_table": [
        {"columns": ["Plan", "Price"], "rows": rows, "footnote": "*Prices* without **tax**"}
        for rows in ([["Free", 0]], [["Free", 0], ["Team", 12.5]], [["Free", 0], ["Team", 13]])
    ],
    "poll": [{**_POLL, "votes": None}, {**_POLL, "votes": {"a": 1}}, {**_POLL, "votes": {"a": 2}}],
    "image_gallery": [
        {"caption": caption, "images": _IMAGES[:count]}
        for caption, count in (("", 0), ("One", 1), ("All three 🖼", 3))
    ],
    "nested_lists": [
        {"groups": groups}
        for groups in (
            [],
            [{"name": "Crew", "members": ["ada"]}],
            [{"name": "Crew", "members": ["ada", "bob"]}, {"name": "Nobody", "members": []}],
        )
    ],
    "article": [
        {"title": "On tea", "body": "Tea is"[:end], "footer": footer, "streaming": streaming}
        for end, footer, streaming in ((0, "", True), (3, "", True), (6, "The end", False))
    ],
    "booking": [
        _BOOKING,
        {**_BOOKING, "price": "€ 90", "stay": {"from": "2030-02-01T00:00:00Z", "to": None}},
        {**_BOOKING, "price": "€ 95", "stay": {"from": "2030-02-01", "to": "2030-02-03"}},
    ],
    "thermostat": [{"room": "attic", "level": level} for level in (18, 18.5, 21)],
    "checklist": [
        {"tasks": _TASKS},
        {"tasks": [{**each, "done": True} for each in _TASKS]},
        {"tasks": _TASKS[1:]},
    ],
}
