"""What is made at start, so that no answer waits for it; in a process that has made nothing yet."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SCRIPT = """
from typing import get_args
from agents.tracing import setup
from openai.types.responses import ResponseStreamEvent
from app.chatkit.agents.warm_up import warm_up

events = get_args(get_args(ResponseStreamEvent)[0])

def missing():
    unbuilt = [event.__name__ for event in events if not event.__pydantic_complete__]
    return unbuilt + (["tracing"] if setup.GLOBAL_TRACE_PROVIDER is None else [])

assert len(missing()) > 10, "the SDK makes them at import now: nothing to warm up"
warm_up()
print(missing())
"""


def test_nothing_is_left_to_be_made_by_the_first_answer_when_it_was_warmed_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
