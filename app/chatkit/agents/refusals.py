"""What a provider's refusal says, told by its wording.

Servers that are compatible with OpenAI agree on no code and no status for one: what they share is
a sentence about what was too much. The tables name what was seen; their patterns are wider, since
the next server words it anew.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, cast

MAX_TEXT = 4000
"""How much of a provider's body is read, in characters."""
MAX_DEPTH = 6

_EXCESS = (
    r"(exceed\w*|too (long|large|many|big|much)|(longer|larger|greater|bigger|more) than|over the"
    r"|overflow\w*|surpass\w*|beyond)"
)
_INPUT = r"(tokens?|prompt|inputs?|messages?|conversation|history|sequence|context)"

_TOO_LONG_FOR_SURE = re.compile(
    r"context[ _-]?(length|window|size|limit|overflow)"
    r"|exceed_context|max_context|model token limit|tokens_limit_reached"
    r"|request[_ ](body )?too[_ ]large"
    r"|string_above_max_length|range of input length|tokens to keep"
    r"|(tokens|length|size) must be reduced|please reduce the (length|size|number)"
    r"|(prompt|input|conversation|context)( \w+){0,2} too (long|large|big)|too many( \w+)? tokens"
    r"|input token (count|limit)|(maximum|max) (prompt|input|model|sequence) (length|len)"
    r"|inputs?`? (tokens|must have less)|only supports up to \d+|exceeds max length"
    r"|超长|过长|长度超"
)
"""Wordings that stand for nothing else (OpenAI, vLLM, llama.cpp, Gemini, Bedrock, TGI, LM Studio,
Groq, xAI, Vertex, Qwen, Zhipu)."""

_TOO_LONG_PERHAPS = re.compile(
    rf"\b{_INPUT}\b.{{0,80}}\b{_EXCESS}|\b{_EXCESS}\b.{{0,80}}\b(tokens?|prompt|context|limit: \d+)"
    r"|(tokens|length)\b.{0,80}(must be <=|must be less than|at most \d+)"
)
_ABOUT_SOMETHING_ELSE = re.compile(
    r"per[ -]min|budget|rate[ _-]?limit|too many requests|retry after|retry in|try again in|quota"
    r"|pricing|max_(completion_|output_|new_)?tokens|completion tokens|\btools?\b|tool_call"
    r"|images?\b|megapixels?|file size|\bpages?\b|concurren|expire|temperature|top_p"
)
"""What the looser wordings may be about instead: a rate, an answer's length, tools, pictures."""

_IMAGE = re.compile(
    r"(images?\b|image_url|input_image|image_\w+|vision|visual|\bvlms?\b|multi-?modal\w*|pictures?"
    r"|modalit\w+|mmproj)"
)
_FILE = re.compile(
    r"(input_file|file_data|file_url|file_id|\bfiles?\b|\bpdfs?\b|\bdocuments?\b|attachments?"
    r"|mime ?type)"
)
_UNKNOWN = re.compile(
    r"(unsupported|not (\w+ ){0,2}support\w*|n't support|doesn't accept|not accept|only support\w*"
    r"|no endpoints|not (a|an)\b|not (?=multi|vision)|unknown (variant|type|field|content)"
    r"|not (enabled|available|allowed)"
    r"|text[- ]only|(at most|limit\w*) 0|missing data required"
    r"|cannot (read|process|see|handle|take)"
    r"|unrecognized|unexpected|not capable|incapable|expected)"
)
_BROKEN = re.compile(
    r"(invalid|not (\w+ )?valid|malformed|corrupt\w*|could not|couldn't|unable|cannot|can't|fail\w*"
    r"|exceed\w*|too (large|big|small|many)|refused|rejected|error"
    r"|decod\w+|maximum of)"
)
NEAR = 120
"""How far what is at fault may stand from what is said of it, in characters."""
_PARTS_UNKNOWN = re.compile(
    r"(content must be a string|expected a string|content part|invalid type: sequence"
    r"|input should be a valid string|'?content'? (field )?(must|should) be (a )?(str|text))"
)
"""Content in parts is refused, whatever is in them."""


class SetupFault(StrEnum):
    """What an operator has to put right before anybody gets an answer."""

    KEY = "key"
    QUOTA = "quota"
    MODEL = "model"


_SETUP_FAULTS: dict[SetupFault, re.Pattern[str]] = {
    SetupFault.QUOTA: re.compile(
        r"insufficient[ _](quota|balance|credit\w*|funds)|exceeded your current quota|billing"
        r"|credit balance|payment required|out of credits?|no credits|more credits|spending limit"
        r"|budget has been exceeded|arrears|overdue|欠费|余额"
    ),
    SetupFault.KEY: re.compile(
        r"(invalid|incorrect|missing|expired|wrong|bad|no|unknown)[ _]([^\W_]+[ _-]){0,2}"
        r"(api|access|x-api|subscription|auth\w*|bearer)[ _-]?(key|token|credentials)"
        r"|(api|access|subscription)[ _-]?(key|token)\w* ((is|was|has) )?"
        r"(not|invalid|expired|missing)"
        r"|authentication|unauthori[sz]ed|unauthenticated|permission[ _]denied|access[ _]denied"
        r"|(provide|need) (an?|your) (\w+ )?(api )?key|auth credentials"
        r"|no connected db|no_db_connection|token expired"
    ),
    SetupFault.MODEL: re.compile(
        r"model_not_found|deployment_?not_?found"
        r"|(deployment|model)\b.{0,80}\b(not found|not exist\w*"
        r"|not available|unavailable|no longer|decommissioned|deprecated|retired|not loaded"
        r"|not a valid|is invalid|unknown)|(invalid|unknown|no such|unsupported|missing) model\b"
        r"|\bmodels?/\S{1,200} is not found|not a valid model|no models? (is |are )?loaded"
        r"|not a chat model|try pulling|no endpoints found for"
        r"|access to (the )?model"
    ),
}
_WILL_PASS = re.compile(r"retry (in|after)|try again in|per[ -](min|day|sec)")


def read_texts(body: Any) -> str:
    """Return what stands in an error body of whatever shape: lower case, in one line, bounded."""
    words = " ".join(" ".join(_find_texts(body, 0)).split())
    return words[:MAX_TEXT].lower()


def _find_texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, bytes):
        value = value[: 4 * MAX_TEXT].decode(errors="replace")
    if isinstance(value, str):
        # Gateways put the body that they got into a string of their own.
        nested = parse_json(value) if depth < MAX_DEPTH else None
        yield value
        if nested is not None:
            yield from _find_texts(nested, depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, dict):
        for name, each in cast("dict[Any, Any]", value).items():
            # Validators quote what they were given, and a user may have written anything.
            if name not in ("input", "messages"):
                yield from _find_texts(each, depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, list):
        for each in cast("list[Any]", value)[:20]:
            yield from _find_texts(each, depth + 1)


def parse_json(text: str) -> Any:
    """Return the object or list that a text is, or None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_too_long(text: str) -> bool:
    """Return whether the input is said to be longer than the model or its limits allow."""
    if _TOO_LONG_FOR_SURE.search(text):
        return True
    return bool(_TOO_LONG_PERHAPS.search(text)) and not _ABOUT_SOMETHING_ELSE.search(text)


def refuses_images(text: str) -> bool:
    """Return whether an image, or the model's eyes, are said to be at fault."""
    return _says(_IMAGE, _UNKNOWN, text) or _says(_IMAGE, _BROKEN, text)


def refuses_files(text: str) -> bool:
    """Return whether a file is said to be at fault."""
    return _says(_FILE, _UNKNOWN, text) or _says(_FILE, _BROKEN, text)


def refuses_parts(text: str) -> bool:
    """Return whether anything but plain text is refused as content."""
    return _PARTS_UNKNOWN.search(text) is not None


def is_for_good(text: str) -> bool:
    """Return whether the model takes none of a kind, rather than not this one."""
    return refuses_parts(text) or _says(_IMAGE, _UNKNOWN, text) or _says(_FILE, _UNKNOWN, text)


def _says(subject: re.Pattern[str], verdict: re.Pattern[str], text: str) -> bool:
    """Return whether one stands near the other; each is looked for in one pass over the text."""
    subjects = [each.span() for each in subject.finditer(text)]
    verdicts = [each.span() for each in verdict.finditer(text)] if subjects else []
    return _are_near(subjects, verdicts) or _are_near(verdicts, subjects)


def _are_near(firsts: list[tuple[int, int]], seconds: list[tuple[int, int]]) -> bool:
    """Return whether one of ``seconds`` begins at most ``NEAR`` behind the end of a first."""
    starts = [start for start, _ in seconds]
    for _, end in firsts:
        place = bisect_left(starts, end)
        if place < len(starts) and starts[place] <= end + NEAR:
            return True
    return False


def find_setup_fault(text: str) -> SetupFault | None:
    """Return what of the setup is said to be at fault; a quota that passes by itself is none."""
    for fault, pattern in _SETUP_FAULTS.items():
        if pattern.search(text) and not (fault is SetupFault.QUOTA and _WILL_PASS.search(text)):
            return fault
    return None
