"""Every regular expression of the application takes time linear in the text that it is given.

A pattern that is not in ``PATTERNS`` fails the first test: add it, with what a hostile text for it
would be made of.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import SecurityError

from app import constructor_form, model_url, observability, settings
from app.api import files, openapi
from app.chatkit import actions
from app.chatkit.agents import fences, input_items, refusals
from app.chatkit.protocol import serialization
from app.chatkit.server import limits
from app.chatkit.widgets import growth, templates
from app.db import database_url, embedded
from app.providers import models, provider_model, smaller_input, thinking, title_cleaning
from app.providers.offline import events, script
from app.runs import positions
from app.uploads import file_urls, previews, sniffing
from tests.security.linear import MOST, attacks, grows_linearly

APP = Path(__file__).parents[2] / "app"
FUNCTIONS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall"}
FUNCTIONS |= {"finditer", "template"}

Work = Callable[[str], object]


def as_bytes(work: Callable[[bytes], object]) -> Work:
    """Return the same work, for a text."""
    return lambda text: work(text.encode("latin-1", errors="replace"))


def intents(text: str) -> list[object]:
    return [each.match(text, None) for each in script.INTENTS]


def weather_place(text: str) -> object:
    found = script.re.search("(?P<place>(?s:.*))", text)
    assert found is not None
    return script._weather(found)


def headers(text: str) -> None:
    with suppress(ValueError):
        settings._parse_headers(text)


def percent(text: str) -> None:
    with suppress(SecurityError):
        growth._check_percent(text)


def socket_directory(text: str) -> object:
    return embedded.re.fullmatch(r"[\w./-]+", text, embedded.re.ASCII)  # a path of the operator's


MODEL_URL = ("/", "/openai/deployments/", "YOUR_", "a", "api/chat", "{", "DEPLOYMENT")
COMPLAINTS = ("image_", "not ", "exceed", "a ", "invalid_", "model ", "models/", "tokens ", "file")
COMPLAINT_PATTERNS = (
    "_TOO_LONG_FOR_SURE",
    "_TOO_LONG_PERHAPS",
    "_ABOUT_SOMETHING_ELSE",
    "_IMAGE",
    "_FILE",
    "_UNKNOWN",
    "_BROKEN",
    "_PARTS_UNKNOWN",
    "_WILL_PASS",
)
TITLES = (
    "<think>",
    "</think>",
    " ",
    "\n",
    "```\n",
    "title",
    ":",
    "- ",
    "[",
    '{"title":"',
    "(",
    "a",
)
BASE64 = ("data:", "image/png", "/", ";base64,", "A", "A" * 60, "\n", "=", "a+")
MARKUP = ("<", "<?", "?>", "<!--", "-->", " ", "<!doctype ", "[", "]", ">", "svg:", "a")

# Where each pattern is used, how often there, and texts that it is tried with.
PATTERNS: dict[str, tuple[list[Work], tuple[str, ...], int]] = {
    "api/files.py _RANGE": ([files._RANGE.fullmatch], ("bytes=", "1", "-", " "), 1),
    "api/files.py _TAG": ([files._TAG.findall], ("W/", '"', "a", ",", " "), 1),
    "api/files.py _ascii": ([files._ascii], ("é", "a", '"', "\n"), 1),
    "api/openapi.py _REFERENCE": (
        [openapi._REFERENCE.findall],
        ('"#/components/schemas/', "a", '"', "/"),
        1,
    ),
    "settings.py _HEADER_NAME": ([settings._HEADER_NAME.fullmatch], ("a", "-", ":", " "), 1),
    "settings.py _parse_headers": ([headers], ("a", ":", ",", " ", "\n", "a: 1"), 1),
    "settings.py _ORIGIN": ([settings._ORIGIN.fullmatch], ("https://", "a", ".", "[", ":", "1"), 1),
    "model_url.py _ENDPOINT": ([model_url._ENDPOINT.search], MODEL_URL, 1),
    "model_url.py _DEPLOYMENT": ([model_url._DEPLOYMENT.search], MODEL_URL, 1),
    "model_url.py _PLACEHOLDER": ([model_url._PLACEHOLDER.search], MODEL_URL, 1),
    "model_url.py parse_model_url": (
        [lambda text: model_url.re.sub(r"/{2,}", "/", text)],
        MODEL_URL,
        1,
    ),
    "observability.py _ACCEPTABLE_ID": ([observability._ACCEPTABLE_ID.fullmatch], ("a", "-"), 1),
    "observability.py _LINK": ([observability.hide_link], ("/api/files/", "a", "/", "\n"), 1),
    "chatkit/server/limits.py _TEXT": (
        [as_bytes(lambda data: limits._TEXT.sub(b"", data))],
        ('"', "\\", "a", ",", '\\"'),
        1,
    ),
    "uploads/file_urls.py _ID": ([file_urls._ID.fullmatch], ("a", "-", ":"), 1),
    "uploads/previews.py _SEGMENT": (
        [as_bytes(previews._SEGMENT.findall)],
        ("\xff", "\xda", "\xd8", "\x00", "\xff\xda\x00\x02"),
        1,
    ),
    "uploads/sniffing.py _SIGNATURES": (
        [as_bytes(lambda data: [each.match(data) for each, _ in sniffing._SIGNATURES])],
        ("RIFF", "BM", "\x00", "\x00\x00\x00.ftyp", "\xff"),
        1,
    ),
    "uploads/sniffing.py _CONTROLS": ([sniffing._CONTROLS.findall], ("\x00", "\x1a", "a", "\n"), 1),
    "uploads/sniffing.py _ARCHIVE_ENTRY": (
        [as_bytes(sniffing._ARCHIVE_ENTRY.findall)],
        ("PK\x03\x04", "P", "word/", "\x00"),
        1,
    ),
    "uploads/sniffing.py _BEFORE_MARKUP": ([sniffing._BEFORE_MARKUP.match], MARKUP, 1),
    "uploads/sniffing.py _HTML_START": ([sniffing._HTML_START.match], MARKUP, 1),
    "uploads/sniffing.py _SVG_START": ([sniffing._SVG_START.match], MARKUP, 1),
    "uploads/sniffing.py clean_type": ([sniffing.clean_type], ("a", "/", ";", " ", "."), 1),
    "db/embedded.py _socket_directory": ([socket_directory], ("a", "/", " "), 1),
    "runs/positions.py _FRAME_NUMBER": ([positions._FRAME_NUMBER.fullmatch], ("1", ":"), 1),
    "runs/positions.py _ITEM_ID": ([positions._ITEM_ID.fullmatch], ("a", ",", "~"), 1),
    "providers/offline/script.py Intent.match": (
        [intents],
        ("weather ", "in ", "dark ", "light ", "browser ", "trip to ", " ", "\n", "time", "is it "),
        2,
    ),
    "providers/offline/script.py _weather": ([weather_place], ("today", " ", "a", "now"), 1),
    "providers/offline/events.py split_words": (
        [events.split_words],
        (" ", "a", "\n", "\u00a0"),
        1,
    ),
    "chatkit/agents/fences.py _begins": (
        [
            lambda text: fences.escape_tag("File", text),
            lambda text: fences.escape_tag(fences.HIDDEN_TAG, text),
        ],
        ("<", " ", "/", "\u200b", "\\n", "Hidden", "Context", "_", "File", "\uff1c"),
        1,
    ),
    **{
        f"chatkit/agents/refusals.py {name}": ([getattr(refusals, name).findall], COMPLAINTS, 1)
        for name in COMPLAINT_PATTERNS
    },
    "chatkit/agents/refusals.py _SETUP_FAULTS": (
        [lambda text: [each.search(text) for each in refusals._SETUP_FAULTS.values()]],
        COMPLAINTS,
        3,
    ),
    "providers/smaller_input.py _NUMBER": (
        [smaller_input._NUMBER.findall],
        ("1", ",", "_", " ", "."),
        1,
    ),
    "providers/smaller_input.py _find_share": (
        [lambda text: smaller_input._find_share(text[:4000])],
        ("1", ",", "_", " ", "."),
        1,
    ),
    "providers/provider_model.py _MAX_TOKENS": (
        [provider_model._MAX_TOKENS.search],
        ("max_", "output_", "tokens", "a"),
        1,
    ),
    **{
        f"providers/title_cleaning.py {name}": ([title_cleaning.clean_title], TITLES, 1)
        for name in ("_THOUGHT", "_FENCE", "_CUT_JSON")
    },
    **{
        # Of one line, which is cut before.
        f"providers/title_cleaning.py {name}": ([title_cleaning._clean_line], (), 1)
        for name in ("_LABEL", "_PREAMBLE", "_LINK", "_MARKER", "_EMPHASIS", "_clean_line")
    },
    "chatkit/actions.py _ACTION_PROP": (
        [actions._ACTION_PROP.fullmatch],
        ("onX", "Action", "a", "on"),
        1,
    ),
    "chatkit/protocol/serialization.py _UNSTORABLE": (
        [serialization.clean_text],
        ("\x00", "a", "\ud800", "é"),
        1,
    ),
    "chatkit/protocol/serialization.py _ESCAPED_NUL": (
        [as_bytes(serialization.clean_json)],
        ("\\", "\\u0000", "\\\\", "a"),
        1,
    ),
    "chatkit/agents/input_items.py _BASE64": ([input_items._BASE64.search], BASE64, 1),
    "chatkit/agents/input_items.py _DATA_URL": ([input_items._DATA_URL.search], BASE64, 1),
    "chatkit/agents/input_items.py _IMAGE_URL": ([input_items._IMAGE_URL.fullmatch], BASE64, 1),
    "chatkit/widgets/growth.py _WIDE_PERCENT": (
        [growth._WIDE_PERCENT.match, percent],
        ("%", "%(", "(", ")", "0", ".", " ", "*", "a"),
        1,
    ),
    "chatkit/widgets/growth.py check_format": (
        [lambda text: growth.re.search(r"\d{5}", text)],
        ("1", "1234", "a"),
        1,
    ),
    "constructor_form.py _FILES": ([constructor_form._FILES.search], ("a", "_", "file"), 1),
    "constructor_form.py _PERHAPS_FILES": (
        [constructor_form._PERHAPS_FILES.search],
        ("a", "_", "file", "store"),
        1,
    ),
    "db/database_url.py _HOSTS": (
        [database_url._HOSTS.match],
        ("postgresql://", "a", ",", "@", ":", "/", "?"),
        1,
    ),
    "providers/models.py _REASONS": ([models._REASONS.match], ("gpt-5", "chat", "o1", "a"), 1),
    "providers/thinking.py _CHANNEL_HEAD": (
        [thinking._CHANNEL_HEAD.match, thinking._CHANNEL_HEAD.search],
        ("<|channel|>", "<|constrain|>", "<|start|>assistant", "analysis", "a", " ", "<"),
        1,
    ),
    "providers/thinking.py _LABEL": ([thinking._LABEL.match], ("thought", " ", "\n", "a"), 1),
    "chatkit/widgets/templates.py _line_of": (
        [lambda text: templates._line_of("template", text)],
        ('"template"', " ", ":", "\n", '"'),
        1,
    ),
}


def pattern_uses() -> Iterator[str]:
    """Yield where ``app`` uses ``re``: the file, and the name, function or method it is in."""
    for path in sorted(APP.rglob("*.py")):
        place = path.relative_to(APP)
        for node in ast.parse(path.read_text()).body:
            for scope, owner in _scopes(node):
                yield from (f"{place} {owner}" for each in ast.walk(scope) if _is_pattern(each))


def _scopes(node: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.ClassDef(name=name, body=body):
            for each in body:
                inner = each.name if hasattr(each, "name") else "?"
                yield each, f"{name}.{inner}"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield node, name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield node, name
        case ast.ImportFrom(module="re") | ast.Import(names=[ast.alias(name="re", asname=str())]):
            raise AssertionError("write re.compile, so that this test sees it")
        case _:
            yield node, "?"


def _is_pattern(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)):
            return name in FUNCTIONS
        case _:
            return False


def test_every_pattern_is_tried() -> None:
    assert Counter(pattern_uses()) == {place: uses for place, (_, _, uses) in PATTERNS.items()}


@pytest.mark.parametrize("place", PATTERNS)
def test_pattern_takes_linear_time(place: str) -> None:
    works, pieces, _ = PATTERNS[place]
    for work in works:
        for name, make in attacks(*pieces):
            ratio = grows_linearly(work, make, 3_000)
            assert ratio <= MOST, f"{place}: {ratio:.1f} for {name}"


@pytest.mark.parametrize(
    ("work", "make"),
    [
        # What was found in the application: a mark that hides behind blanks, and two words.
        (r"<(?=\s*/?\s*File\b)", lambda n: "<" + " " * n),
        (r"\b(dark|light)\b.*?\b(theme|mode)\b", lambda n: "dark " * (n // 5)),
    ],
)
def test_slow_pattern_is_noticed(work: str, make: Callable[[int], Any]) -> None:
    slow = script.re.compile(work)
    assert grows_linearly(slow.search, make, 1_500) > MOST


@pytest.mark.parametrize("length", [0, 1, 200, 201, 5_000])
@pytest.mark.parametrize("spec", ["99999d", "000099999d", "*d", ".99999f", "12.*f"])
def test_wide_padding_is_refused_however_long_its_key_is(length: int, spec: str) -> None:
    with pytest.raises(SecurityError, match="pads a text too far"):
        growth._check_percent(f"100% of %(b)s (c) %({'k' * length}){spec}")


@pytest.mark.parametrize("text", ["100%", "%(a", "%(a)s %9999d", "(a)99999", "%%", "%(%(a)s"])
def test_text_that_does_not_pad_passes(text: str) -> None:
    growth._check_percent(text)
