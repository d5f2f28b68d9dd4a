"""Models to JSON bytes, the one way that both clients and the store see them.

By alias, without null fields, without attachment metadata, and without what Postgres and JSON
cannot hold: NUL and lone surrogates become U+FFFD here, once, where text leaves a model.
"""

import re
from collections.abc import Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_CLEANED_NUL = rb"\1" + REPLACEMENT.encode()
_WIRE_CONTEXT = {"exclude_metadata": True}


def clean_text(text: str) -> str:
    """Return ``text`` with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(REPLACEMENT, text)


def clean_json(data: bytes) -> bytes:
    r"""Return JSON bytes with every escaped NUL (``\u0000``) replaced by U+FFFD."""
    if rb"\u0000" not in data:
        return data
    return _ESCAPED_NUL.sub(_CLEANED_NUL, data)


def clean_value(value: Any) -> Any:
    """Return a JSON-like value with ``clean_text`` applied to every string in it."""
    match value:
        case str():
            return clean_text(value)
        case dict():
            pairs = cast("dict[Any, Any]", value).items()
            return {clean_value(key): clean_value(each) for key, each in pairs}
        case list() | tuple() | set() | frozenset():
            return [clean_value(each) for each in cast("list[Any]", value)]
        case _:
            return value


def dump_value(value: Any) -> bytes:
    """Return free-form data as JSON, in which what is no number is null, as in JavaScript."""
    try:
        data = to_json(value, inf_nan_mode="null")
    except ValueError:  # a lone surrogate
        data = to_json(clean_value(value), inf_nan_mode="null")
    return clean_json(data)


def dump_wire(
    model: BaseModel, *, exclude: set[str] | None = None, exclude_none: bool = True
) -> bytes:
    """Return the JSON that a client gets for ``model``, without the fields in ``exclude``."""
    serializer = model.__pydantic_serializer__
    try:
        data = serializer.to_json(
            model,
            by_alias=True,
            exclude=exclude,
            exclude_none=exclude_none,
            context=_WIRE_CONTEXT,
        )
    except ValueError:  # a lone surrogate, from a model or a tool
        plain = serializer.to_python(
            model,
            by_alias=True,
            exclude=exclude,
            exclude_none=exclude_none,
            context=_WIRE_CONTEXT,
        )
        return dump_value(plain)
    return clean_json(data)


def join_page(items: Sequence[bytes], *, has_more: bool, after: str | None) -> bytes:
    """Return the JSON of a ``Page`` from the JSON of its items."""
    cursor = b',"after":' + dump_value(after) if has_more and after else b""
    more = b"true" if has_more else b"false"
    return b'{"data":[' + b",".join(items) + b'],"has_more":' + more + cursor + b"}"
