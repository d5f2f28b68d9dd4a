"""What a model is sent where it refused more: no images or files, or less of the history."""

import json
import re
from collections.abc import Callable, Collection
from typing import Any, Literal, cast

from agents import TResponseInputItem

PartKind = Literal["image", "file"]
"""What a model may be unable to take."""

MIN_SHARE, USUAL_SHARE, MAX_SHARE = 0.05, 0.5, 0.7
"""How much of an input that was too long is sent again at least, usually and at most."""
IMAGE_SIZE = 6000
"""What an image or a file is taken to count, in characters: its bytes say nothing."""
MIN_TOKENS = 64
"""The smallest number that may be a count of tokens."""
MIN_OUTPUT = 2000
"""What is left of a tool's output at least, in characters, where all else is left out."""

_KINDS: dict[str, PartKind] = {"input_image": "image", "input_file": "file"}
_NUMBER = re.compile(r"(?<![\w.-])\d[\d,_]*(?![\w-])")


def find_parts(items: Collection[TResponseInputItem]) -> frozenset[PartKind]:
    """Return the kinds of parts besides text in an input."""
    found: set[PartKind] = set()

    def note(part: dict[str, Any]) -> dict[str, Any]:
        if kind := _KINDS.get(str(part.get("type"))):
            found.add(kind)
        return part

    for item in items:
        _map_parts(item, note)
    return frozenset(found)


def without_parts(
    items: Collection[TResponseInputItem], kinds: Collection[PartKind]
) -> list[TResponseInputItem]:
    """Return an input in which each part of these kinds is a note that it was there."""

    def replace(part: dict[str, Any]) -> dict[str, Any]:
        kind = _KINDS.get(str(part.get("type")))
        return part if kind not in kinds else {"type": "input_text", "text": _describe(part, kind)}

    return [_map_parts(item, replace) for item in items]


def _describe(part: dict[str, Any], kind: PartKind | None) -> str:
    if kind == "image":
        return "(An image was here; you cannot see its content.)"
    name = json.dumps(str(part.get("filename") or ""), ensure_ascii=False)
    return f"(The file {name} was here; you cannot see its content.)"


def _map_parts(
    item: TResponseInputItem, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> TResponseInputItem:
    """Return the item with its parts changed; itself where nothing is."""
    given = cast("dict[str, Any]", item)
    for name in ("content", "output"):
        parts = given.get(name)
        if isinstance(parts, list):
            old = cast("list[dict[str, Any]]", parts)
            new = [change(part) for part in old]
            if any(a is not b for a, b in zip(old, new, strict=True)):
                given = given | {name: new}
    return cast("TResponseInputItem", given)


# --- less of it ----------------------------------------------------------------------------------


def with_less_history(
    items: list[TResponseInputItem], complaint: str
) -> list[TResponseInputItem] | None:
    """Return the input without its oldest turns, or None where there is nothing to leave out.

    It begins with a message of the user again, and the turn that is being answered stays whole; of
    that one, only the outputs of tools are shortened, if nothing else helps. ``complaint`` is what
    the provider says: many say how much it was, and how much it may be.
    """
    sizes = [_measure(each) for each in items]
    goal = int(sum(sizes) * _find_share(complaint))
    starts = [
        place
        for place in range(1, len(items))
        if _is_users(items[place]) and not _is_users(items[place - 1])
    ]
    start = next((place for place in starts if sum(sizes[place:]) <= goal), None)
    if start is not None:
        return items[start:]
    start = starts[-1] if starts else 0
    # What is left of the turn is what the user waits for: there is no second try.
    shorter = _shorten_outputs(items[start:], goal // 2)
    return shorter if start or shorter != items else None


def _is_users(item: TResponseInputItem) -> bool:
    return cast("dict[str, Any]", item).get("role") == "user"


def _measure(item: TResponseInputItem) -> int:
    """Return about how long an item is, in characters."""
    size = 0

    def count(part: dict[str, Any]) -> dict[str, Any]:
        nonlocal size
        if part.get("type") in _KINDS:
            size += IMAGE_SIZE
            return {}
        return part

    return size + len(json.dumps(_map_parts(item, count), default=str))


def _find_share(complaint: str) -> float:
    """Return how much of the input fits, by the two largest numbers of the complaint."""
    numbers = {int(re.sub("[,_]", "", each)) for each in _NUMBER.findall(complaint)}
    named = sorted(each for each in numbers if each >= MIN_TOKENS)[-2:]
    if len(named) < 2:
        return USUAL_SHARE
    limit, given = named
    # A little less than fits: characters are no tokens, and instructions and tools are sent, too.
    return min(MAX_SHARE, max(MIN_SHARE, 0.75 * limit / given))


def _shorten_outputs(items: list[TResponseInputItem], goal: int) -> list[TResponseInputItem]:
    """Return the items with the longest outputs of tools cut, so that about ``goal`` is left."""
    excess = sum(map(_measure, items)) - goal
    result = list(items)
    outputs = [(len(_output(item)), place) for place, item in enumerate(items)]
    for length, place in sorted(outputs, reverse=True):
        if excess <= 0 or length <= MIN_OUTPUT:
            break
        kept = max(MIN_OUTPUT, length - excess)
        excess -= length - kept
        text = f"{_output(items[place])[:kept]}… ({length} characters, the rest is left out)"
        result[place] = cast("TResponseInputItem", {**result[place], "output": text})
    return result


def _output(item: TResponseInputItem) -> str:
    output = cast("dict[str, Any]", item).get("output")
    return output if isinstance(output, str) else ""
