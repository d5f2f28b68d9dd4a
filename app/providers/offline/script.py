"""What the offline model says: a few intents that show what the product can do, else an echo."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from app.providers.offline.input import Conversation, ToolResult

ABOUT = (
    "I am the offline model: I call nobody and know nothing. Set `OPENAI_API_KEY` (or "
    "`OPENAI_BASE_URL` for a compatible server) and start again to talk to a real one."
)

# --- the steps of an answer ----------------------------------------------------------------------


@dataclass(frozen=True)
class Say:
    """A message."""

    text: str


@dataclass(frozen=True)
class Refuse:
    """A message that refuses."""

    text: str


@dataclass(frozen=True)
class Think:
    """Reasoning, summed up in a few thoughts."""

    thoughts: list[str]


@dataclass(frozen=True)
class CallTool:
    """A call of one of the tools that were offered."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Fail:
    """Break off after ``text``, as a provider does when it gives up."""

    text: str


@dataclass(frozen=True)
class Draw:
    """An image."""


Step = Say | Refuse | Think | CallTool | Fail | Draw


def plan_answer(
    conversation: Conversation, tool_names: Collection[str], forced_tool: str | None = None
) -> list[Step]:
    """Return the steps of the answer. Only tools in ``tool_names`` are called."""
    if conversation.results:
        return [Say(describe_result(conversation.results[-1]))]
    if conversation.note is not None:
        return [Say(f"It is noted. This is what I was told:\n\n> {conversation.note}")]
    if conversation.answers is not None:
        return [Say(f"Thank you. This is what you told me:\n\n{conversation.answers}")]
    for intent in INTENTS:
        match = intent.match(conversation.last_text, forced_tool)
        if match and (intent.tool is None or intent.tool in tool_names):
            return intent.answer(match)
    return [Say(echo(conversation))]


def describe_result(result: ToolResult) -> str:
    """Return what is said about the outcome of a tool."""
    return f"`{result.name}` came back with:\n\n> " + result.output.replace("\n", "\n> ")


def echo(conversation: Conversation) -> str:
    """Return an answer that proves what was understood: the message and its number."""
    said = shorten(conversation.last_text)
    number = len(conversation.user_texts)
    opening = f"You said: “{said}”. This is message {number} of our conversation"
    if number > 1:
        opening += f", which began with “{shorten(conversation.user_texts[0])}”"
    if conversation.files:
        opening += f". With it came {shorten('; '.join(conversation.files))}"
    return f"{opening}.\n\n{ABOUT}\n\nSay **help** to see what I can show you."


def shorten(text: str, limit: int = 200) -> str:
    """Return ``text`` on one line of at most ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


# --- intents -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Intent:
    """A pattern in the user's words, and the answer to it.

    ``example`` matches the pattern, and stands for the user's words where the page forces ``tool``.
    """

    example: str
    shows: str
    pattern: str
    answer: Callable[[re.Match[str]], list[Step]]
    tool: str | None = None

    def match(self, text: str, forced_tool: str | None) -> re.Match[str] | None:
        """Return the match that the answer is made from, if this intent is the one."""
        found = re.search(self.pattern, text, re.IGNORECASE)
        if forced_tool is None:
            return found
        if forced_tool != self.tool:
            return None
        return found or re.search(self.pattern, self.example, re.IGNORECASE)


def _help(match: re.Match[str]) -> list[Step]:
    examples = "\n".join(f"- **{each.example}**: {each.shows}" for each in INTENTS)
    return [Say(f"{ABOUT}\n\nTry:\n\n{examples}")]


def _weather(match: re.Match[str]) -> list[Step]:
    place = re.sub(r"\b(today|tomorrow|now|please)\b", "", match["place"] or "", flags=re.I)
    return [CallTool("get_weather", {"city": place.strip() or "Paris"})]


def _switch_theme(match: re.Match[str]) -> list[Step]:
    return [CallTool("switch_theme", {"theme": match["theme"].lower()})]


def _browser_time(match: re.Match[str]) -> list[Step]:
    return [CallTool("get_browser_time", {})]


def _ask(match: re.Match[str]) -> list[Step]:
    options = ["Widgets", "Client tools", "Workflows"]
    return [CallTool("ask_user", {"question": "What shall I show you?", "options": options})]


def _trip(match: re.Match[str]) -> list[Step]:
    return [CallTool("offer_trip", {"city": (match["place"] or "").strip() or "Lisbon"})]


def _plan(match: re.Match[str]) -> list[Step]:
    thoughts = [
        "First I look at what is being asked, and at what is already known.",
        "Then I put the steps into an order in which each one rests on the one before.",
    ]
    steps = "1. Find out what is needed.\n2. Do the smallest part of it.\n3. Look again."
    return [Think(thoughts), Say(f"Here is a plan:\n\n{steps}")]


def _story(match: re.Match[str]) -> list[Step]:
    scenes = (
        "The lighthouse keeper climbed the stairs and counted them, as every evening.",
        "Out at sea a small boat had lost its way, and nobody knew of it yet.",
        "The lamp turned, and its light went over the water like a slow hand.",
        "Someone on the boat saw it and began to row.",
    )
    nights = (f"## Night {night}\n\n{' '.join(scenes)}" for night in range(1, 13))
    return [Say("\n\n".join(nights))]


def _draw(match: re.Match[str]) -> list[Step]:
    return [Draw(), Say("Here it is: a sunset, the only thing that I can draw.")]


def _refuse(match: re.Match[str]) -> list[Step]:
    return [Refuse("I'm sorry, but I can't help with that.")]


def _fail(match: re.Match[str]) -> list[Step]:
    return [Fail("I begin to answer, and then the provider ")]


_NEAR = ".{0,200}?"
"""What lies between two words of a pattern: bounded, or a long text would be read over and over."""

INTENTS = (
    Intent("Fail", "a provider's error in the middle of an answer", r"\b(error|fail)\b", _fail),
    Intent("Refuse", "a refusal", r"\brefuse\b", _refuse),
    Intent(
        "What is the weather in Paris?",
        "a tool that streams a widget",
        rf"\bweather\b(?:{_NEAR}\b(?:in|for|at)\s+(?P<place>[^\n?!.,;]+))?",
        _weather,
        tool="get_weather",
    ),
    Intent(
        "Switch to the dark theme",
        "a tool that runs in the page",
        rf"\b(?P<theme>dark|light)\b{_NEAR}\b(theme|mode)\b",
        _switch_theme,
        tool="switch_theme",
    ),
    Intent(
        "What time is it in my browser?",
        "a tool of the page that returns something",
        rf"\btime is it\b|\bbrowser\b{_NEAR}\btime\b",
        _browser_time,
        tool="get_browser_time",
    ),
    Intent("Ask me something", "a question with suggestions", r"\bask me\b", _ask, tool="ask_user"),
    Intent(
        "Plan a trip to Lisbon",
        "a form whose action starts an answer",
        rf"\btrip\b(?:{_NEAR}\bto\s+(?P<place>[^\n?!.,;]+))?",
        _trip,
        tool="offer_trip",
    ),
    Intent("Make a plan", "reasoning, shown as a workflow", r"\b(think|plan)\b", _plan),
    Intent("Tell me a long story", "enough text to press Stop", r"\b(long|story)\b", _story),
    Intent("Draw a sunset", "a generated image", r"\b(draw|paint)\b", _draw),
    Intent("Help", "this list", r"\bhelp\b|\bwhat can you\b", _help),
)
"""Tried in this order."""
