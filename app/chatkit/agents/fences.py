"""Data for the model between tags that it cannot close, and a mark that nobody else can write.

What a model is told in confidence stands between ``<HiddenContext>`` tags, in the user's role. No
text from outside may look like that, whatever brings it: a message, a quote, a file and its name,
an answer, a widget. Every pattern here takes time linear in the text.
"""

import functools
import re
from typing import Any, TypeVar, cast

HIDDEN_TAG = "HiddenContext"

TValue = TypeVar("TValue")

_UNSEEN = "\u00ad\u200b-\u200f\u2060\ufeff"
"""Characters without width, which a reader passes over."""
_GAP = rf"(?:[\s/_\-{_UNSEEN}]|\\[nrtf])*"
"""What may stand between ``<`` and a name; within JSON a line feed is written as an escape."""
_OPENING = "[<\uff1c\ufe64\u2039\u3008]"


def _begins(name: str) -> re.Pattern[str]:
    """Return what matches the ``<`` of a tag that opens or closes ``name``, a pattern."""
    return re.compile(rf"{_OPENING}(?={_GAP}{name})", re.IGNORECASE)


def _spelled(word: str) -> str:
    return f"[{_UNSEEN}]*".join(word)


_HIDDEN_MARK = _begins(rf"{_spelled('hidden')}[\s_\-{_UNSEEN}]*{_spelled('context')}")


@functools.cache
def _tag(name: str) -> re.Pattern[str]:
    return _begins(rf"{name}\b")


def escape_tag(tag: str, text: str) -> str:
    """Return ``text`` without anything that opens or closes ``<tag>``."""
    pattern = _HIDDEN_MARK if tag == HIDDEN_TAG else _tag(tag)
    return text if text.isascii() and "<" not in text else pattern.sub("&lt;", text)


def fence(tag: str, text: str) -> str:
    """Return ``text`` between ``<tag>`` and ``</tag>``, which it cannot close."""
    return f"<{tag}>\n{escape_tag(tag, text)}\n</{tag}>"


def escape_hidden_marks(value: TValue) -> TValue:
    """Return model input with no text in it, however deep, that looks like a note in confidence."""
    return cast("TValue", _escape(value))


def _escape(value: Any) -> Any:
    match value:
        case str():
            return escape_tag(HIDDEN_TAG, value)
        case list():
            return [_escape(each) for each in cast("list[Any]", value)]
        case dict():
            return {key: _escape(each) for key, each in cast("dict[Any, Any]", value).items()}
        case _:
            return value
