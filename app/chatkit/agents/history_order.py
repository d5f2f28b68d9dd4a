"""The items of a thread in the order in which the model was told of them.

A thread is stored as the user saw it: a card stands before the answer, and before the hidden item
that remembers the call which showed it. The model saw the call, then what it returned, then its own
answer, and hears of the card in the next turn. Told in this order, each request begins with the
bytes of the one before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.chatkit.agents.tool_memory import RememberedResponse, read_memory
from app.chatkit.protocol.items import AssistantMessageItem, ThreadItem, UserMessageItem


@dataclass(frozen=True, slots=True)
class ToldItem:
    """An item of the thread; ``response`` is what it remembers, if that is what it is for."""

    item: ThreadItem
    response: RememberedResponse | None = None


def order_as_told(items: Sequence[ThreadItem]) -> list[ToldItem]:
    """Return items, which are in the order of the thread, in that of what the model was told."""
    told = [ToldItem(item, read_memory(item)) for item in items]
    if not any(each.response for each in told):
        return told
    quoted = {
        str(entry.get("item_id"))
        for each in told
        for entry in (each.response.items if each.response else ())
    }
    runs, moved = _gather_runs(told, quoted)
    ordered: list[ToldItem] = []
    # The last one on the stack comes next, and what a run said behind it right after.
    stack = [each for each in reversed(told) if each.item.id not in moved]
    stack += reversed(runs.pop(None, ()))
    while stack:
        each = stack.pop()
        ordered.append(each)
        stack += reversed(runs.pop(each.item.id, ()))
    # Nothing is lost of what names no item that it could follow, such as itself.
    return [*ordered, *(each for run in runs.values() for each in run)]


def _gather_runs(
    told: list[ToldItem], quoted: set[str]
) -> tuple[dict[str | None, list[ToldItem]], set[str]]:
    """Return what each run has said, by the item that it was told last, and the ids of all that.

    A run says its remembered responses, then an answer that no tool has taken part in. What is
    before the first item, since older ones were left out, has None for a key.
    """
    known = {each.item.id for each in told}
    runs: dict[str | None, list[ToldItem]] = {}
    moved: set[str] = set()
    for place, each in enumerate(told):
        if each.response is None:
            continue
        after = each.response.after if each.response.after in known else None
        if after is None and each.response.after is None:
            after = _item_before(told, place)
        runs.setdefault(after, []).append(each)
        moved.add(each.item.id)
    for place, each in enumerate(told):
        if each.response is None or each.response.is_last:
            continue
        answer = _find_answer(told[place + 1 :], quoted)
        after = each.response.after if each.response.after in known else None
        if answer is not None and runs.get(after, [])[-1:] == [each]:
            runs[after].append(answer)
            moved.add(answer.item.id)
    return runs, moved


def _item_before(told: list[ToldItem], place: int) -> str | None:
    """Return the id of the last item before a place that is told in its own."""
    return next((each.item.id for each in reversed(told[:place]) if not each.response), None)


def _find_answer(following: list[ToldItem], quoted: set[str]) -> ToldItem | None:
    """Return the answer that a run ended with behind its last call."""
    for each in following:
        if isinstance(each.item, UserMessageItem) or each.response is not None:
            return None
        if isinstance(each.item, AssistantMessageItem) and each.item.id not in quoted:
            return each
    return None
