"""Operations that would come to too much, refused before they are carried out.

Each is a single step of Python that no count can stop: a text padded to a billion characters, a
list repeated a million times, a power with thousands of digits.
"""

import re
from collections.abc import Sized
from string import Formatter
from typing import Any, cast

from jinja2.exceptions import SecurityError

from app.chatkit.widgets.budget import (
    MAX_BITS,
    MAX_ELEMENTS,
    MAX_LENGTH,
    MAX_WIDTH,
    budget,
    refuse_above,
)

_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "to_bytes"})
"""Methods whose numbers say how long a text becomes."""
_PADDING_FILTERS = frozenset({"center", "indent", "batch", "slice", "tojson", "round", "wordwrap"})
_SLOW_FILTERS = {"urlize": 10_000, "wordwrap": 50_000, "striptags": 50_000}
"""Filters whose time grows faster than their text, and how many characters they get."""
_CODECS = frozenset({"utf-8", "utf8", "utf_8", "ascii", "latin-1", "latin1"})
"""Others take the time of the square of a text's length, or are not for text."""
_WIDE_PERCENT = re.compile(r"[-#0 +]*+(\*|\d{5}|\d{0,4}\.(\*|\d{5}))")
"""What pads too far, behind a percent sign and its key."""


def check_call(name: str, owner: Any, args: tuple[Any, ...]) -> None:
    """Refuse a call that would make too long a text, before it does."""
    if name in _PADDING:
        _check_numbers(args)
    if name == "generate_lorem_ipsum":
        _check_numbers(args, limit=100)  # of paragraphs, and of words in each
    if name in ("encode", "decode"):
        _check_codec(args)
    if isinstance(owner, str | bytes):
        _check_text(name, cast("str", owner), args)


def check_filter(name: str, value: Any, args: tuple[Any, ...]) -> None:
    """Raise ``SecurityError`` where a filter would make too much of ``value``."""
    if name in _PADDING_FILTERS:
        _check_numbers(args)
    text = value if isinstance(value, str) else ""
    refuse_above(_SLOW_FILTERS.get(name, MAX_LENGTH), len(text))
    match name:
        case "format":
            _check_percent(str(value))
        case "wordwrap" | "indent":
            longest = max((len(each) for each in args if isinstance(each, str)), default=1)
            number = max((each for each in args if isinstance(each, int)), default=1)
            refuse_above(MAX_LENGTH, len(text) * max(longest, number if name == "indent" else 1))
        case "join":
            _check_text("join", str(args[0]) if args else "", (value,))
        case _:
            _check_text(name, text, args)


def _check_text(name: str, text: str, args: tuple[Any, ...]) -> None:
    if name == "join" and args and isinstance(args[0], Sized):
        refuse_above(MAX_LENGTH, len(text) * len(args[0]))
    elif name == "replace" and len(args) > 1:
        old, new = str(args[0]), str(args[1])
        refuse_above(MAX_LENGTH, text.count(old) * len(new))
    elif name == "translate" and args and isinstance(args[0], dict):
        table = cast("dict[Any, Any]", args[0])
        longest = max((len(each) for each in table.values() if isinstance(each, str)), default=0)
        refuse_above(MAX_LENGTH, len(text) * longest)


def _check_numbers(args: tuple[Any, ...], *, limit: int = MAX_WIDTH) -> None:
    for each in args:
        if isinstance(each, int):
            refuse_above(limit, abs(each))


def _check_codec(args: tuple[Any, ...]) -> None:
    if args and str(args[0]).lower() not in _CODECS:
        raise SecurityError(f"the template uses the codec {str(args[0])[:20]!r}")


def check_format(text: str, args: tuple[Any, ...]) -> None:
    """Raise ``SecurityError`` where ``str.format`` would pad too far."""
    for _, _, spec, _ in Formatter().parse(text):
        if spec and "{" in spec:
            _check_numbers(args)
        elif spec and re.search(r"\d{5}", spec):
            raise SecurityError(f"the template pads a text by {spec!r}")


def _check_percent(text: str) -> None:
    start, close = text.find("%"), 0
    while start >= 0:
        behind = start + 1
        if text.startswith("(", behind):
            # The end of a key, however long it is, is looked for once for all before it.
            close = text.find(")", behind) if 0 <= close <= behind else close
            behind = len(text) if close < 0 else close + 1
        if _WIDE_PERCENT.match(text, behind):
            raise SecurityError("the template pads a text too far")
        start = text.find("%", start + 1)


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Raise ``SecurityError`` where an operator would make something too large."""
    match operator, left, right:
        case "*", str() | bytes() | list() | tuple(), int():
            _check_repetition(left, right)
        case "*", int(), str() | bytes() | list() | tuple():
            _check_repetition(right, left)
        case "*", int(), int():
            refuse_above(MAX_BITS, left.bit_length() + right.bit_length())
        case "**", int(), int():
            refuse_above(MAX_BITS, left.bit_length() * max(right, 0))
        case "%", str() | bytes(), _:
            _check_percent(str(left))
            budget().measure(right)
        case _:
            pass


def _check_repetition(value: Any, times: int) -> None:
    limit = MAX_LENGTH if isinstance(value, str | bytes) else MAX_ELEMENTS
    refuse_above(limit, len(value) * times)
