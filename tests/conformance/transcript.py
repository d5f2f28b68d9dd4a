"""What happened in a conversation, as lines that are equal where two servers behave alike.

Ids become placeholders in the order in which they appear, times are checked and left out, and what
may arrive in one event or in several (text of one part, states of one task) is joined. Removals
that follow one another are sorted.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, TypeAlias

Json: TypeAlias = Any

GENERATED_ID = re.compile(r"\b(thr|msg|tc|wf|tsk|atc|shcx|err)_([0-9a-f]{32}|[0-9a-f]{8})\b")
TEXT_DELTA = "assistant_message.content_part.text_delta"
REMOVED = "thread.item.removed"
TASK_UPDATED = "workflow.task.updated"


class Placeholders:
    """Gives every generated id a name: its prefix and a number in the order of appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def replace(self, line: str) -> str:
        """Return ``line`` with placeholders for generated ids."""
        return GENERATED_ID.sub(lambda match: self._name(match[0], match[1]), line)

    def _name(self, generated: str, prefix: str) -> str:
        if generated not in self._names:
            self._counts[prefix] = self._counts.get(prefix, 0) + 1
            self._names[generated] = f"<{prefix} {self._counts[prefix]}>"
        return self._names[generated]


class Transcript:
    """The lines of one conversation. ``aware`` says whether its times have a zone."""

    def __init__(self, *, aware: bool) -> None:
        self.lines: list[str] = []
        self.request_types: list[str] = []
        self._aware = aware
        self._part = "start"
        self._placeholders = Placeholders()
        self._removed: list[Json] = []

    def begin(self, request_type: str) -> None:
        """Begin the part of a request."""
        self.request_types.append(request_type)
        self._part = str(len(self.request_types))
        self.note(request_type)

    def end(self) -> None:
        """Begin the part behind the last request."""
        self._part = "end"

    def note(self, text: str) -> None:
        """Add a line of plain text."""
        self.lines.append(f"{self._part} {self._placeholders.replace(text)}")

    def add(self, value: Json, label: str = "answer") -> None:
        """Add a line of JSON behind a label."""
        text = json.dumps(self._normalise(value), sort_keys=True, ensure_ascii=False)
        self.note(f"{label} {text}")

    def add_events(self, events: Iterable[Json]) -> None:
        """Add the events of a stream, those that may be split any way joined."""
        for event in join_pieces(events):
            if event["type"] != REMOVED:
                self._add_removed()
                self.add(event, label_of(event))
            else:
                self._removed.append(event)
        self._add_removed()

    def _add_removed(self) -> None:
        """Add removals that follow one another, whose order means nothing."""
        for event in sorted(self._removed, key=lambda each: self._place_of(each["item_id"])):
            self.add(event, REMOVED)
        self._removed.clear()

    def _place_of(self, item_id: str) -> str:
        return self._placeholders.replace(item_id)

    def _normalise(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self._normalise(each) for each in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)  # 2.0 and 2 are the same number in JSON
        if not isinstance(value, dict):
            return value
        return {
            key: self._check_time(each) if key == "created_at" else self._normalise(each)
            for key, each in value.items()
        }

    def _check_time(self, value: str) -> str:
        moment = datetime.fromisoformat(value)
        assert (moment.tzinfo is not None) == self._aware, value
        assert value.endswith("Z") == self._aware, value
        return "<time>"


def label_of(event: Json) -> str:
    """Return the type of an event, and what it is about."""
    about = event.get("item") or event.get("update") or {}
    return f"{event['type']} {about['type']}" if about else event["type"]


def join_pieces(events: Iterable[Json]) -> Iterator[Json]:
    """Yield events with consecutive text of one part joined, and only a task's last state."""
    held: Json = None
    for event in events:
        joined = _join(held, event)
        if joined is None and held is not None:
            yield held
        held = joined or event
    if held is not None:
        yield held


def _join(first: Json, second: Json) -> Json | None:
    """Return two events as one, or None where they are not pieces of the same thing."""
    if not first or "update" not in first or "update" not in second:
        return None
    one, other = first["update"], second["update"]
    if first["item_id"] != second["item_id"] or one["type"] != other["type"]:
        return None
    if one["type"] == TEXT_DELTA and one["content_index"] == other["content_index"]:
        return {**second, "update": {**other, "delta": one["delta"] + other["delta"]}}
    if one["type"] == TASK_UPDATED and one["task_index"] == other["task_index"]:
        return second
    return None


def diff_lines(official: list[str], ours: list[str]) -> list[str]:
    """Return the lines that only one side has: ``- `` the official, ``+ `` ours."""
    result: list[str] = []
    matcher = SequenceMatcher(None, official, ours, autojunk=False)
    for tag, start, end, our_start, our_end in matcher.get_opcodes():
        if tag != "equal":
            result += [f"- {line}" for line in official[start:end]]
            result += [f"+ {line}" for line in ours[our_start:our_end]]
    return result
