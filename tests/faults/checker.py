"""What must be true afterwards, whatever was injected: transcripts held against the database."""

import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.faults.clients import Transcript

# Notes every write of an answer by a run that had already lost its thread. the cleanup's own
# statement ends the run and writes its snapshot in one transaction, which is no violation.
AUDIT = """
CREATE TABLE lost_writes (item_id text, run_id text);
CREATE FUNCTION note_lost_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  writer text := split_part(NEW.data #>> '{content,0,text}', ' ', 1);
BEGIN
  IF NEW.type = 'assistant_message' AND EXISTS (
    SELECT 1 FROM runs WHERE id = writer AND state <> 'running'
      AND runs.xmin <> pg_current_xact_id()::xid
  ) THEN
    INSERT INTO lost_writes VALUES (NEW.id, writer);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_lost_write AFTER INSERT OR UPDATE ON thread_items
  FOR EACH ROW EXECUTE FUNCTION note_lost_write();
"""


@dataclass
class Verdict:
    """What was compared, and every violation in words."""

    messages: int = 0
    items: int = 0
    frames: int = 0
    pages: int = 0
    followed: int = 0
    ahead: float = 0.0  # seconds by which shown text that is not stored went on
    violations: list[str] = field(default_factory=list)


async def check(
    connection: asyncpg.Connection, transcripts: list[Transcript], most_ahead: float
) -> Verdict:
    """Compare what clients were told and showed with what is stored.

    ``most_ahead`` is for how many seconds text may have been shown that is not stored.
    """
    verdict = Verdict(
        frames=sum(each.frames for each in transcripts),
        pages=sum(each.pages for each in transcripts),
        followed=sum(each.followed for each in transcripts),
    )
    stored = {
        row["id"]: json.loads(row["data"])
        for row in await connection.fetch("SELECT id, data::text FROM thread_items")
    }
    for transcript in transcripts:
        _check_messages(transcript, stored, verdict)
        _check_items(transcript, stored, verdict)
        _check_shown(transcript, stored, verdict, most_ahead)
        verdict.violations += transcript.differences
    await _check_database(connection, verdict)
    return verdict


def _check_messages(
    transcript: Transcript, stored: dict[str, dict[str, Any]], verdict: Verdict
) -> None:
    for item_id, text in transcript.acknowledged.items():
        verdict.messages += 1
        if item_id not in stored:
            verdict.violations.append(f"acknowledged message {text!r} is not stored")


def _check_items(
    transcript: Transcript, stored: dict[str, dict[str, Any]], verdict: Verdict
) -> None:
    for item_id, item in transcript.finished.items():
        verdict.items += 1
        if stored.get(item_id) != item:
            verdict.violations.append(f"finished item {item_id} is stored as something else")


def _check_shown(
    transcript: Transcript,
    stored: dict[str, dict[str, Any]],
    verdict: Verdict,
    most_ahead: float,
) -> None:
    for item_id, shown in transcript.texts.items():
        item = stored.get(item_id)
        kept = "".join(part["text"] for part in item["content"]) if item else ""
        seconds = shown.seconds_beyond(len(kept))
        verdict.ahead = max(verdict.ahead, seconds)
        if seconds > most_ahead:
            verdict.violations.append(
                f"{item_id} showed text for {seconds:.2f} s that is not stored: "
                f"{shown.grown[-1][1]} characters, {len(kept)} are stored"
            )


async def _check_database(connection: asyncpg.Connection, verdict: Verdict) -> None:
    for what, query in {
        "thread is still busy": "SELECT thread_id FROM runs WHERE state = 'running'",
        "write by a run that had lost its thread": "SELECT run_id FROM lost_writes",
        "user message is stored twice": """
            SELECT data #>> '{content,0,text}' FROM thread_items WHERE type = 'user_message'
            GROUP BY user_id, data #>> '{content,0,text}' HAVING count(*) > 1""",
        "run has written two answers": """
            SELECT split_part(data #>> '{content,0,text}', ' ', 1) FROM thread_items
            WHERE type = 'assistant_message'
            GROUP BY 1 HAVING count(*) > 1""",
    }.items():
        for row in await connection.fetch(query):
            verdict.violations.append(f"{what}: {row[0]}")
