"""The title in what a model answers, which is seldom the title alone."""

import json
import re
from typing import Any, cast

from app.chatkit.untyped import get_text

MAX_TITLE_LENGTH = 60
MAX_LINE = 500
"""How much of a line is looked at, in characters: a title stands at its beginning."""

_THOUGHT = re.compile(
    r"^(<(?P<tag>think\w*|thought|reasoning)>.*?(</(?P=tag)>|$)|.*</think\w*>"
    r"|<\|channel\|>.*?final<\|message\|>|<\|channel\|>.*$)",
    re.DOTALL | re.IGNORECASE,
)
_FENCE = re.compile(r"^```\w*\n(.*?)(\n```|$)", re.DOTALL)
_LABEL = re.compile(
    r"^[\W_]*((suggested|possible|conversation|chat|thread|short|generated|final|the|a) )*"
    r"(title|titel|titre|título|titolo|tytuł|titulek|başlık|заголовок|название|标题|標題|タイトル|제목)"
    r"[\W_]*?\s*[:：=][\W_]*?\s*(?=[^\s:]|$)",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"^(sure|certainly|of course|okay|ok|here('s| is| are)|here you|got it|absolutely)\b.*[:!.]$"
    r"|^(sure|certainly|of course|okay|ok)[!,.]?$",
    re.IGNORECASE,
)
_CUT_JSON = re.compile(r'"\w*title"\s*:\s*"([^"\n]*)', re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKER = re.compile(r"^([-*+•>]|\d{1,2}[.)]|#{1,6})\s+")
_EMPHASIS = re.compile(r"(\*\*|__|~~|`)")
_AROUND = " \t#*_`~|"
_QUOTES = {
    '"': '"',
    "'": "'",
    "“": "”",
    "„": "“”",
    "«": "»",
    "»": "«",
    "‘": "’",
    "‚": "‘’",
    "「": "」",
    "《": "》",
}


def clean_title(text: str) -> str:
    """Return what stands in a model's answer as a title, or "" where there is none.

    Labels, JSON, Markdown, quotes and the words around it are left out; a long one is cut.
    """
    text = _THOUGHT.sub("", text.strip()).strip()
    if fenced := _FENCE.search(text):
        text = fenced[1].strip()
    text = _read_json(text) or text
    lines = [line.strip()[:MAX_LINE] for line in text.splitlines() if line.strip(_AROUND)]
    labelled = [place for place, line in enumerate(lines) if _LABEL.match(line)]
    candidates = lines[labelled[0] :] if labelled else lines
    last = len(candidates) - 1
    cleaned = (
        _clean_line(line)
        for place, line in enumerate(candidates)
        if not _PREAMBLE.match(line) and (place == last or not line.endswith((":", "：")))
    )
    return shorten_title(next((line for line in cleaned if line.strip("{}[]()\"'.:- ")), ""))


def shorten_title(text: str) -> str:
    """Return ``text`` in one line, without Markdown or quotes around it, cut between words."""
    line = " ".join(text.split()).strip("#*_`\"'“”„«»> ")
    if len(line) <= MAX_TITLE_LENGTH:
        return line
    cut = line[: MAX_TITLE_LENGTH - 1]
    words = cut.rsplit(" ", 1)[0] if " " in cut else cut
    return words.rstrip(" ,.;:-") + "…"


def _clean_line(line: str) -> str:
    line = _LINK.sub(r"\1", _LABEL.sub("", line))
    before = None
    while line != before:
        before = line
        line = _MARKER.sub("", line.strip(_AROUND))
        if len(line) > 1 and line[-1] in _QUOTES.get(line[0], ""):
            line = line[1:-1]
    line = _EMPHASIS.sub("", line)
    # One full stop ends a sentence, which a title is none; "Why?" and "v1.0.…" stay.
    return line[:-1].rstrip() if re.search(r"[^.]\.$", line) or line.endswith("。") else line


def _read_json(text: str) -> str:
    """Return the title in an answer that is JSON, or begins or ends with it."""
    start, end = text.find("{"), text.rfind("}")
    for candidate in (text, text[start : end + 1] if 0 <= start < end else ""):
        try:
            found = _find_title(json.loads(candidate))
        except (ValueError, RecursionError):
            continue
        if found:
            return found
    cut = _CUT_JSON.search(text)
    return cut[1] if cut else ""


def _find_title(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next(
            (found for each in cast("list[Any]", value) if (found := _find_title(each))), ""
        )
    if not isinstance(value, dict):
        return ""
    fields = cast("dict[str, Any]", value)
    named = next((name for name in fields if "title" in str(name).lower()), None)
    if named is not None and isinstance(fields[named], str):
        return get_text(fields, named)
    return next((found for each in fields.values() if (found := _find_title(each))), "")
