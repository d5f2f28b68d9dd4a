"""Function calls as a strict server takes them back: an id of their own, arguments in an object."""

import json
import secrets
import string
from collections.abc import Sequence
from typing import Any, cast

from app.chatkit.untyped import get_field, get_text
from app.providers.response_events import create_item_id
from app.providers.surrogates import join_surrogates

_CALL_ID_LETTERS = string.ascii_letters + string.digits
_CALL_ID_LENGTH = 9
"""Mistral takes ids of nine letters and digits, and no others; to everybody else it is all one."""

UNREADABLE = "invalid_arguments"
"""The name under which a model is told again what it wrote where arguments should have been."""


def create_call_id() -> str:
    """Return an id for a call that came without one."""
    return "".join(secrets.choice(_CALL_ID_LETTERS) for _ in range(_CALL_ID_LENGTH))


class CallIds:
    """The ids that calls have, in what the model was asked (``model_input``) and since."""

    def __init__(self, model_input: str | Sequence[Any] = ()) -> None:
        self._input = () if isinstance(model_input, str) else model_input
        self._taken: set[str] | None = None

    def claim(self, call_id: Any) -> str:
        """Return ``call_id``, or a new one where there is none or another call has it."""
        if self._taken is None:
            self._taken = {get_text(each, "call_id") for each in self._input}
        is_free = isinstance(call_id, str) and call_id and call_id not in self._taken
        claimed = cast("str", call_id) if is_free else create_call_id()
        self._taken.add(claimed)
        return claimed


def write_arguments(arguments: Any) -> str:
    """Return a call's arguments as the text of a JSON object, whatever they came as.

    What is no object cannot be read by the tool, nor by a server that gets it back in the next
    turn: it is put into one, so that the tool says what is missing and the model sees what it sent.
    """
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False)
    text = join_surrogates(arguments) if isinstance(arguments, str) else ""
    if not text.strip():
        return "{}"
    value = _read(text)
    if isinstance(value, str) and is_complete(value):  # JSON within JSON
        return value
    if isinstance(value, dict):
        return text
    if value is None and text.strip() == "null":
        return "{}"
    return json.dumps({UNREADABLE: text}, ensure_ascii=False)


def is_complete(arguments: str) -> bool:
    """Return whether arguments that come in pieces are all there."""
    return isinstance(_read(arguments), dict)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def fix_call(item: Any, ids: CallIds) -> Any:
    """Return a function call as it may go on, or None where it names nothing to call."""
    name = get_text(item, "name").strip()
    if not name:
        return None
    raw_id, arguments = get_field(item, "call_id"), get_field(item, "arguments")
    fixed: dict[str, Any] = {
        "name": name,
        "call_id": ids.claim(raw_id),
        "arguments": write_arguments(arguments),
    }
    if not get_field(item, "id"):
        fixed["id"] = create_item_id("fc")
    is_fine = all(get_field(item, each) == value for each, value in fixed.items())
    return item if is_fine else item.model_copy(update=fixed)
