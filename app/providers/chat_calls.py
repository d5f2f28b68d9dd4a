"""Tool calls that come in pieces, told apart however a server numbers them.

Some number every call 0, or none; some leave ids out, or send a new one with each piece; some send
arguments as an object. The Agents SDK then gets each call under a number and an id of its own.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction

from app.chatkit.untyped import get_field, get_text
from app.providers.function_calls import CallIds, is_complete


@dataclass(slots=True)
class _Call:
    """A call so far. ``has_own_id`` tells that its id is the server's."""

    index: int
    id: str
    has_own_id: bool
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    is_announced: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        ends = bool(self.arguments) and self.arguments[-1].rstrip().endswith("}")
        return ends and is_complete("".join(self.arguments))

    def is_repeated_by(self, arguments: str) -> bool:
        """Return whether a server has sent the whole call once more, behind its pieces."""
        return bool(arguments) and "".join(self.arguments).strip() == arguments.strip()


class ChatCalls:
    """Follows the calls of one response."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    @property
    def are_complete(self) -> bool:
        """Whether there are calls, and nothing is missing of any."""
        return bool(self._calls) and all(each.name and each.is_complete for each in self._calls)

    def fix(self, entry: Any) -> ChoiceDeltaToolCall | None:
        """Return a piece of a call under its own number and id; None for one that has to wait."""
        function = get_field(entry, "function")
        name = get_text(function, "name").strip() or get_text(entry, "name").strip()
        sent = get_field(function, "arguments")
        arguments = _to_text(sent if sent is not None else get_field(entry, "arguments"))
        call = self._find(entry, name) or self._begin(entry)
        if call.is_announced and name and call.is_repeated_by(arguments):
            return None
        if arguments:
            call.arguments.append(arguments)
        if not call.is_announced:
            call.name = name
            if not name:
                return None
            arguments = "".join(call.arguments)
        piece = self._write(call, arguments)
        # What else came with the call (Gemini's thought signature, say) goes with it.
        extra: dict[str, Any] = get_field(entry, "model_extra") or {}
        for key, value in extra.items():
            if key not in ("name", "arguments"):
                setattr(piece, key, value)
        return piece

    def _write(self, call: _Call, arguments: str) -> ChoiceDeltaToolCall:
        is_first, call.is_announced = not call.is_announced, True
        function = ChoiceDeltaToolCallFunction(
            name=call.name if is_first else None, arguments=arguments
        )
        return ChoiceDeltaToolCall.construct(
            index=call.index,
            id=call.id if is_first else None,
            type="function" if is_first else None,
            function=function,
        )

    def _find(self, entry: Any, name: str) -> _Call | None:
        """Return the call that a piece goes on with, or None for the first piece of a new one."""
        raw_id, index = get_text(entry, "id"), get_field(entry, "index")
        last = self._calls[-1] if self._calls else None
        if raw_id and (known := self._by_id.get(raw_id)):
            return None if name and _is_another(known, name, entry) else known
        call = self._by_index.get(index) if index is not None else last
        if not name and not raw_id:
            # It cannot be a new one: its number was left out, or is wrong.
            return last if call is None or (call is not last and call.is_complete) else call
        if call is None:
            return None
        is_new = bool(name and call.name) and (call.is_complete or name != call.name)
        if raw_id and call.has_own_id:
            is_new = is_new or bool(name) or call.is_complete
        return None if is_new else call

    def _begin(self, entry: Any) -> _Call:
        raw_id, index = get_text(entry, "id"), get_field(entry, "index")
        call = _Call(len(self._calls), self._ids.claim(raw_id), has_own_id=bool(raw_id))
        self._calls.append(call)
        self._by_index[index] = call
        if raw_id:
            self._by_id[raw_id] = call
        return call


def _is_another(known: _Call, name: str, entry: Any) -> bool:
    """Return whether a piece with the id of a known call begins another one."""
    arguments = _to_text(get_field(get_field(entry, "function"), "arguments"))
    if name != known.name:
        return bool(known.name)
    return bool(arguments) and known.is_complete and not known.is_repeated_by(arguments)


def _to_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
