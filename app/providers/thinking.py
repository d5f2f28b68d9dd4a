"""Thinking that a model writes into its text, told apart from its answer.

Only what the text begins with is thinking: ``<think>…</think>`` and its kin, or the channels of
gpt-oss. Templates that open the tag in the prompt leave a text whose thinking ends with a tag that
was never opened. Tags that a model talks about, anywhere else in its text, are left alone.
"""

import re
from typing import Literal, NamedTuple

PieceKind = Literal["answer", "thought", "thought_end", "retract"]


class Piece(NamedTuple):
    """What comes next. ``retract``: the answer so far was a thought, of which this is the whole."""

    kind: PieceKind
    text: str = ""


_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "antthinking")
_THOUGHTS: dict[str, str] = {
    **{f"<{tag}>": f"</{tag}>" for tag in _TAGS},
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|think|>": "<|/think|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|channel>": "<channel|>",
    "<unused94>": "<unused95>",
}
"""What ends a thought, by what begins it; in any case."""

_WRAPPERS: dict[str, str] = {
    "<|start_response|>": "<|end_response|>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
}
"""What ends the answer itself, by what begins it: neither is part of it."""

_LONE_CLOSERS = tuple(each for each in _THOUGHTS.values() if each.startswith("<"))
_WATCHED = (*_LONE_CLOSERS, *(each for each in _THOUGHTS if each.startswith("<")))
_STARTS = (*_THOUGHTS, *_WRAPPERS, *_LONE_CLOSERS, "<|start|>assistant", "<|channel|>")

_CHANNEL_HEAD = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>\s*(\w++)[^<\n]*+(?:<\|constrain\|>[^<\n]*+)?"
    r"(?:<\|message\|>|\n)",
    re.IGNORECASE,
)
"""How a channel of gpt-oss begins; any but ``final`` is not for the user."""
_CHANNEL_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_CHANNEL_STARTS = ("<|start|>", "<|channel|>")
_MAX_CHANNEL_HEAD = 200
"""Characters that the head of a channel may have; a longer one is text."""

_MAX_MENTIONS = 20
"""A text that talks about tags so often is about them."""

_LABEL = re.compile(r"\s*thought\s*\n", re.IGNORECASE)
"""What Gemma writes in front of each thought."""

_BEFORE_MENTION = frozenset(" \t`\"'“‘(«")
_BEHIND_MENTION = frozenset(" \t`\"'”’)».,;:?!")


class ThinkingSplitter:
    """Splits one text that comes in pieces; what may be the half of a tag waits for the next one.

    ``said`` is the answer so far. While ``is_flowing``, text without ``<`` is answer: whoever is in
    a hurry may append it to ``said`` without asking.
    """

    __slots__ = (
        "_buffer",
        "_closers",
        "_has_thought",
        "_is_silent",
        "_mentions",
        "_mode",
        "_watched",
        "said",
    )

    def __init__(self) -> None:
        self.said: list[str] = []
        self._mode: Literal["start", "thought", "answer"] = "start"
        self._buffer: str = ""
        self._closers: tuple[str, ...] = ()  # of the thought, the channel or the wrapper
        self._has_thought = False
        self._is_silent = True  # whether the open thought has said nothing yet
        self._watched = _WATCHED  # for the end of a thought that was never opened
        self._mentions = 0

    @property
    def is_flowing(self) -> bool:
        """Whether text without ``<`` passes unchanged."""
        return self._mode == "answer" and not self._buffer

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain of the text so far."""
        self._buffer += text
        return self._read(is_last=False)

    def finish(self) -> list[Piece]:
        """Return the rest: the text has ended."""
        pieces = self._read(is_last=True)
        rest, self._buffer = self._buffer, ""
        if self._mode == "thought":
            pieces += self._think(rest)
            pieces.append(Piece("thought_end"))
        elif rest.strip():
            pieces += self._say(rest)
        return pieces

    def _read(self, *, is_last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while self._buffer:
            before = (self._mode, self._buffer)
            match self._mode:
                case "start":
                    self._read_start(is_last=is_last)
                case "thought":
                    pieces += self._read_thought()
                case "answer":
                    pieces += self._read_answer(is_last=is_last)
            if (self._mode, self._buffer) == before:
                break
        return pieces

    # --- what a text begins with -----------------------------------------------------------------

    def _read_start(self, *, is_last: bool) -> None:
        text = self._buffer.lstrip()
        if not text:
            return
        low = _lower(text)
        if head := _CHANNEL_HEAD.match(text):
            self._buffer = text[head.end() :]
            is_answer = head[1].lower() == "final"
            closers = _CHANNEL_ENDS if is_answer else _CHANNEL_ENDS + _CHANNEL_STARTS
            self._open("answer" if is_answer else "thought", closers)
        elif opener := _first_of(_THOUGHTS, low):
            self._buffer = text[len(opener) :]
            self._open("thought", (_THOUGHTS[opener],))
        elif closer := _first_of(_LONE_CLOSERS, low):
            self._buffer = text[len(closer) :]
            self._has_thought = True
        elif opener := _first_of(_WRAPPERS, low):
            self._buffer = text[len(opener) :].lstrip()
            self._open("answer", (_WRAPPERS[opener],))
        elif is_last or not _may_become_start(low):
            self._buffer = text if self._has_thought else self._buffer
            self._mode, self._closers = "answer", ()

    def _open(self, mode: Literal["thought", "answer"], closers: tuple[str, ...]) -> None:
        self._mode, self._closers = mode, closers
        self._watched = ()
        self._has_thought = self._is_silent = True

    # --- a thought -------------------------------------------------------------------------------

    def _read_thought(self) -> list[Piece]:
        if self._is_silent and not self._strip_label():
            return []
        low = _lower(self._buffer)
        at, closer = _find(low, self._closers)
        if closer is None:
            return self._think(self._take(_hold_from(low, self._closers)))
        pieces = self._think(self._take(at))
        if closer not in _CHANNEL_STARTS:
            self._take(len(closer))
        self._mode = "start"
        return [*pieces, Piece("thought_end")]

    def _strip_label(self) -> bool:
        """Take the label off; return False where it may still come."""
        if label := _LABEL.match(self._buffer):
            self._take(label.end())
        self._buffer = self._buffer.lstrip()
        return bool(self._buffer) and not "thought\n".startswith(self._buffer.lower())

    def _think(self, text: str) -> list[Piece]:
        if not text:
            return []
        self._is_silent = False
        return [Piece("thought", text)]

    # --- the answer ------------------------------------------------------------------------------

    def _read_answer(self, *, is_last: bool) -> list[Piece]:
        low = _lower(self._buffer)
        if self._closers:
            at, closer = _find(low, self._closers)
            if closer is None:
                return self._say(self._take(_hold_from(low, self._closers)))
            pieces = self._say(self._take(at))
            self._take(len(closer))
            self._mode = "start"
            return pieces
        at, tag = _find(low, self._watched)
        if tag is None:
            return self._say(self._take(_hold_from(low, self._watched)))
        end = at + len(tag)
        if tag not in _LONE_CLOSERS:
            self._watched = ()  # what is opened here may be closed here
            return self._say(self._take(end))
        if end == len(low) and not is_last:
            return self._say(self._take(at))  # what follows tells what the tag means
        if self._is_mention(at, low[end : end + 1]):
            self._mentions += 1
            if self._mentions == _MAX_MENTIONS:
                self._watched = ()
            return self._say(self._take(end))
        thought = "".join(self.said) + self._take(at)
        self._take(len(tag))
        self.said.clear()
        self._mode, self._has_thought = "start", True
        return [Piece("retract", thought), Piece("thought_end")]

    def _is_mention(self, at: int, behind: str) -> bool:
        """Return whether the text talks about the tag at ``at``, instead of using it."""
        text = "".join(self.said) + self._buffer[:at]
        is_in_code = text.rpartition("\n")[2].count("`") % 2 == 1
        is_in_block = (text.startswith("```") + text.count("\n```")) % 2 == 1
        is_quoted = text[-1:] in _BEFORE_MENTION and (not behind or behind in _BEHIND_MENTION)
        return is_in_code or is_in_block or is_quoted

    def _say(self, text: str) -> list[Piece]:
        if not text:
            return []
        self.said.append(text)
        return [Piece("answer", text)]

    def _take(self, length: int) -> str:
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken


def split_thinking(text: str) -> tuple[str, str]:
    """Return the thinking that a whole text begins with, and its answer."""
    splitter = ThinkingSplitter()
    thoughts: list[str] = []
    for piece in (*splitter.feed(text), *splitter.finish()):
        if piece.kind != "answer":
            thoughts.append("\n\n" if piece.kind == "thought_end" else piece.text)
    return "".join(thoughts).strip(), "".join(splitter.said)


def _lower(text: str) -> str:
    """Return ``text`` in lower case, character by character: there is one that becomes two."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(each.lower()[0] for each in text)


def _first_of(tags: dict[str, str] | tuple[str, ...], low: str) -> str | None:
    return next((each for each in tags if low.startswith(each)), None)


def _may_become_start(low: str) -> bool:
    if low.startswith(("<|channel|>", "<|start|>")) and len(low) < _MAX_CHANNEL_HEAD:
        return "\n" not in low
    return any(each.startswith(low) for each in _STARTS)


def _find(low: str, tags: tuple[str, ...]) -> tuple[int, str | None]:
    """Return where the first of ``tags`` is, and which; the longest of those at that place."""
    found = [(at, -len(each), each) for each in tags if (at := low.find(each)) >= 0]
    if not found:
        return -1, None
    at, _, tag = min(found)
    return at, tag


def _hold_from(low: str, tags: tuple[str, ...]) -> int:
    """Return from where on ``low`` may be the beginning of one of ``tags``."""
    for mark in "<[◁":
        at = low.rfind(mark)
        if at >= 0 and any(each.startswith(low[at:]) for each in tags):
            return at
    return len(low)
