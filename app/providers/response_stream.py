"""One response's stream of events, made whole: what the Responses API would have sent.

Servers that speak the API more or less leave out announcements and ends, places and ids; they send
in the last event what they never streamed, or never what they did. Here that is made good, before
the Agents SDK sees an event, so that everything behind it may rely on the official order: an item
is added, filled and done, and the final response holds them all. Chat Completions come through here
as well, as the events that the SDK makes of them. What needs no fixing is passed on as it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from openai.types.responses import ResponseOutputMessage

from app.chatkit.untyped import get_field, get_list, get_text
from app.providers.final_response import is_failure, write_final_event
from app.providers.function_calls import CallIds, fix_call
from app.providers.response_items import OtherItem, Reasoning
from app.providers.response_message import Message, MessagePart
from app.providers.surrogates import has_surrogates

Fixed = list[Any] | None
"""The events to pass on in place of one; None for that one as it is."""

Follower = Message | Reasoning | OtherItem
TFollower = TypeVar("TFollower", Message, Reasoning, OtherItem)

_TEXT_PARTS = ("output_text", "refusal")


class ResponseStreamNormaliser:
    """Follows one response. ``fix`` every event, and pass on what ``end`` returns at the end.

    ``model_input`` is what the model was asked: a call must not have the id of an older one.
    """

    def __init__(self, model_input: str | Sequence[Any] = ()) -> None:
        self._call_ids = CallIds(model_input)
        self._items: list[Follower] = []
        self._next_index = 0
        # Where plain text may go on without being looked at.
        self._flow: tuple[Message, MessagePart] | None = None

    def fix(self, event: Any) -> Fixed:
        """Return what to pass on for ``event``."""
        fix = _FIXES.get(event.type)
        return None if fix is None else fix(self, event)

    def end(self) -> list[Any]:
        """Return what was waiting when the stream broke off; nothing behind a final event."""
        items, self._items = self._items, []
        messages = [each for each in items if isinstance(each, Message) and not each.is_finished]
        return [event for each in messages for event in each.end_text()]

    # --- text: the hot path ----------------------------------------------------------------------

    def add_text(self, event: Any) -> Fixed:
        """Follow a delta of text or of a refusal."""
        values = event.__dict__
        delta, flow = values.get("delta"), self._flow
        if flow is not None and type(delta) is str:
            message, part = flow
            if (
                values.get("output_index") == message.index
                and values.get("content_index") == part.index
                and values.get("item_id") == message.id
                and "<" not in delta
                and (delta.isascii() or not has_surrogates(delta))
            ):
                part.splitter.said.append(delta)
                return None
        found = self._find_part(event, "refusal" in event.type)
        if found is None or not isinstance(delta, str):
            return []
        events = found[0].add_text(found[1], delta)
        self._flow = found if found[1].is_flowing else None
        return events

    # --- the parts of a message ------------------------------------------------------------------

    def add_part(self, event: Any) -> Fixed:
        """Hold the beginning of a part back, until it says something."""
        part = get_field(event, "part")
        if get_field(part, "type") not in _TEXT_PARTS:
            return None
        found = self._find_part(event, get_field(part, "type") == "refusal")
        if found is None:
            return []
        return found[0].add_text(found[1], get_text(part, "text") or get_text(part, "refusal"))

    def finish_part(self, event: Any) -> Fixed:
        """Pass on the end of a part (as text, or as a part), if it was shown."""
        sent = get_field(event, "part")
        kind = get_field(sent, "type") or ("refusal" if "refusal" in event.type else "output_text")
        if kind not in _TEXT_PARTS:
            return None
        found = self._find_part(event, kind == "refusal", is_end=True)
        if found is None:
            return []
        message, part = found
        source = sent or event
        text = get_text(source, "text") or get_text(source, "refusal")
        events = message.finish_part(part, text)
        self._flow = None
        if not part.is_announced:
            return events
        update = _place(message, part)
        if kind == "output_text" and text != part.text:
            cleaned = {"text": part.text}
            update |= {"part": sent.model_copy(update=cleaned)} if sent is not None else cleaned
        if not events and all(get_field(event, name) == value for name, value in update.items()):
            return None
        return [*events, event.model_copy(update=update)]

    def add_annotation(self, event: Any) -> Fixed:
        """Put an annotation where its text is."""
        found = self._find_part(event, is_refusal=False)
        if found is None:
            return []
        message, part = found
        return [*message.announce(part), event.model_copy(update=_place(message, part))]

    def _find_part(
        self, event: Any, is_refusal: bool, *, is_end: bool = False
    ) -> tuple[Message, MessagePart] | None:
        """Return the open part that an event is about, or None if its message has ended."""
        index, raw_id = get_field(event, "output_index"), get_field(event, "item_id")
        message = self._find(Message, index, raw_id)
        if message is not None and message.is_finished:
            if is_end or not raw_id or raw_id in (message.raw_id, message.id):
                return None
            message = None
        if message is None:
            message = self._follow(Message(self._claim_index(index), raw_id))
        part = message.part_at(get_field(event, "content_index") or 0, is_refusal=is_refusal)
        return message, part

    # --- reasoning, and the arguments of calls ---------------------------------------------------

    def add_reasoning(self, event: Any) -> Fixed:
        """Follow a delta of reasoning or of its summary."""
        return self._find_reasoning(event).add_text(event)

    def finish_reasoning(self, event: Any) -> Fixed:
        """Follow the end of a part of reasoning or of its summary."""
        return self._find_reasoning(event).finish_text(event)

    def add_arguments(self, event: Any) -> Fixed:
        """Note the arguments of a call, in case that nobody sends it whole."""
        place = get_field(event, "output_index"), get_field(event, "item_id")
        other = self._find(OtherItem, *place)
        if other is not None:
            other.add_arguments(event)
        return None

    def _find_reasoning(self, event: Any) -> Reasoning:
        index, raw_id = get_field(event, "output_index"), get_field(event, "item_id")
        found = self._find(Reasoning, index, raw_id)
        return found or self._follow(Reasoning(self._claim_index(index), raw_id))

    # --- items -----------------------------------------------------------------------------------

    def add_item(self, event: Any) -> Fixed:
        """Follow an item from now on; a message waits until it says something."""
        item, index = get_field(event, "item"), get_field(event, "output_index")
        raw_id = get_field(item, "id")
        if get_field(item, "type") != "message":
            follower = self._begin(item, index)
            if follower is None:
                return []
            if isinstance(follower, Reasoning):
                follower.is_announced = True
            if follower.index == index:
                return None
            return [event.model_copy(update={"output_index": follower.index})]
        known = self._find(Message, index, raw_id)
        events: list[Any] = []
        if known is not None and not known.is_finished:
            if raw_id in (None, known.raw_id):
                return []  # announced twice
            if known.index == index:
                events += known.finish()
        message = self._follow(Message(self._claim_index(index), raw_id, item))
        for position, part in enumerate(get_list(item, "content")):
            is_refusal = get_field(part, "type") == "refusal"
            text = get_text(part, "text") or get_text(part, "refusal")
            events += message.add_text(message.part_at(position, is_refusal=is_refusal), text)
        return events

    def finish_item(self, event: Any) -> Fixed:
        """End an item, which may never have been announced."""
        item, index = get_field(event, "item"), get_field(event, "output_index")
        follower = self._find_for(item, index) or self._begin(item, index)
        self._flow = None
        if follower is None:
            return []
        events = follower.finish(item)
        if len(events) == 1 and events[0].item is item and events[0].output_index == index:
            return None
        return events

    def _begin(self, item: Any, index: Any = None) -> Follower | None:
        """Follow a new item; None for what is no item at all."""
        raw_id = get_field(item, "id")
        match get_field(item, "type"):
            case "message":
                return self._follow(Message(self._claim_index(index), raw_id, item))
            case "reasoning":
                return self._follow(Reasoning(self._claim_index(index), raw_id, item))
            case None:
                return None
            case _ if isinstance(item, ResponseOutputMessage):
                return None  # the client makes a message of what it does not know
            case _:
                return self._follow(OtherItem(self._claim_index(index), raw_id, item))

    def _find_for(self, item: Any, index: Any) -> Follower | None:
        """Return who follows an item that has just ended."""
        raw_id = get_field(item, "id")
        match get_field(item, "type"):
            case "message":
                found = self._find(Message, index, raw_id)
                is_other = found is not None and found.is_finished and found.raw_id != raw_id
                return None if is_other else found
            case "reasoning":
                return self._find(Reasoning, index, raw_id)
            case _:
                return self._find(OtherItem, index, raw_id)

    def _follow(self, follower: TFollower) -> TFollower:
        self._items.append(follower)
        return follower

    def _find(self, kind: type[TFollower], index: Any, raw_id: Any) -> TFollower | None:
        """Return an item of a kind by its place, by its id, or as the one that is open."""
        items = [each for each in reversed(self._items) if isinstance(each, kind)]
        if index is not None:
            return next((each for each in items if each.index == index), None)
        named = (each for each in items if raw_id and each.raw_id == raw_id)
        is_open = (each for each in items if not each.is_finished)
        return next(named, None) or next(is_open, None)

    def _claim_index(self, index: Any) -> int:
        """Return the place of a new item: the one it came with, or the next."""
        place = index if isinstance(index, int) else self._next_index
        self._next_index = max(self._next_index, place + 1)
        return place

    # --- the end ---------------------------------------------------------------------------------

    def complete(self, event: Any) -> Fixed:
        """End what is open, show what never was, and say it all once more in the final response."""
        self._flow = None
        if is_failure(event):
            return [*self.end(), *(write_final_event(event) or [event])]
        sent = [each for each in get_list(get_field(event, "response"), "output") if each]
        followed, rest = self._match(sent)
        events: list[Any] = []
        output: list[Any] = []
        for position, item in enumerate(sent):
            follower = followed.get(position) or self._begin(item)
            if follower is not None:
                events += follower.finish(item)
                output.append(follower.final(item))
        for follower in rest:
            events += follower.finish()
            output.append(follower.final())
        self._items.clear()
        fixed = [self._fix_call(each) for each in output]
        final = write_final_event(event, [each for each in fixed if each is not None])
        return None if final is None and not events else [*events, *(final or [event])]

    def _match(self, sent: list[Any]) -> tuple[dict[int, Follower], list[Follower]]:
        """Return what was followed of each item sent, by id or else by order; and what is left."""
        rest = sorted(self._items, key=lambda each: each.index)
        followed: dict[int, Follower] = {}
        for by_id in (True, False):
            for position, item in enumerate(sent):
                for each in rest if position not in followed else ():
                    is_named = each.raw_id and each.raw_id == get_field(item, "id")
                    if (is_named or not by_id) and each.kind == get_field(item, "type"):
                        followed[position] = each
                        rest.remove(each)
                        break
        return followed, rest

    def _fix_call(self, item: Any) -> Any:
        is_call = get_field(item, "type") == "function_call"
        return fix_call(item, self._call_ids) if is_call else item


def _place(message: Message, part: MessagePart) -> dict[str, Any]:
    return {"item_id": message.id, "output_index": message.index, "content_index": part.index}


_Normaliser = ResponseStreamNormaliser
_FIXES: dict[str, Callable[[ResponseStreamNormaliser, Any], Fixed]] = {
    "response.output_item.added": _Normaliser.add_item,
    "response.output_item.done": _Normaliser.finish_item,
    "response.content_part.added": _Normaliser.add_part,
    "response.content_part.done": _Normaliser.finish_part,
    "response.output_text.delta": _Normaliser.add_text,
    "response.output_text.done": _Normaliser.finish_part,
    "response.output_text.annotation.added": _Normaliser.add_annotation,
    "response.refusal.delta": _Normaliser.add_text,
    "response.refusal.done": _Normaliser.finish_part,
    "response.reasoning_text.delta": _Normaliser.add_reasoning,
    "response.reasoning_text.done": _Normaliser.finish_reasoning,
    "response.reasoning_summary_text.delta": _Normaliser.add_reasoning,
    "response.reasoning_summary_text.done": _Normaliser.finish_reasoning,
    "response.function_call_arguments.delta": _Normaliser.add_arguments,
    "response.function_call_arguments.done": _Normaliser.add_arguments,
    "response.completed": _Normaliser.complete,
    "response.incomplete": _Normaliser.complete,
    "response.failed": _Normaliser.complete,
    "response.done": _Normaliser.complete,
}
"""What is done with each kind of event; others are passed on."""
