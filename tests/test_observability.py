"""Log lines, as a program reads them."""

import asyncio
import json
import logging
import sys
import weakref
from datetime import datetime
from typing import Any

import pytest
import structlog

from app import observability
from app.observability import configure_logging
from tests.support.databases import settings_for


@pytest.fixture(autouse=True)
def _kept_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put everything back that the configuration of logging changes."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers)
    monkeypatch.setattr(root, "level", root.level)
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of these tests; an application in this process may write some, too."""
    lines = map(json.loads, capsys.readouterr().err.splitlines())
    return [line for line in lines if line["logger"] in ("app.x", "app.http", "audit", "asyncio")]


def test_line_is_json_with_what_its_caller_gave(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for(None, log_format="json"))
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        logging.getLogger("app.x").info("Hello %s\n", "you", extra={"status": 200, "what": {1}})
    (line,) = written(capsys)
    assert line["timestamp"].endswith("Z")
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "event": "Hello you\n",
        "request_id": "req_1",
        "level": "info",
        "logger": "app.x",
        "status": 200,
        "what": "{1}",
    }


class Nameless:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


def test_line_is_written_whatever_is_given_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for(None, log_format="json", log_error_messages=False))
    circle: list[object] = []
    circle.append(circle)
    for value in (circle, Nameless(), {(1, 2): 3}, ValueError("private")):
        logging.getLogger("app.x").info("Hello", extra={"given": value})
    lines = written(capsys)
    assert [line["event"] for line in lines] == ["Hello"] * 4
    assert "private" not in str(lines)


async def test_lines_of_requests_are_written_together_and_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observability, "WRITE_INTERVAL", 0.05)
    configure_logging(settings_for(None, log_format="json"))
    requests, others = logging.getLogger("app.http"), logging.getLogger("audit")

    def events() -> list[str]:
        return [line["event"] for line in written(capsys)]

    requests.info("one")
    requests.info("two")
    assert events() == []
    others.info("three")
    assert events() == ["one", "two", "three"]
    requests.info("four")
    requests.error("five")
    assert events() == ["four", "five"]
    requests.info("six")
    while not (late := events()):
        await asyncio.sleep(0.01)
    assert late == ["six"]
    for _ in range(observability.MAX_WAITING):
        requests.info("many")
    assert len(events()) == observability.MAX_WAITING
    requests.info("last")
    await asyncio.to_thread(requests.info, "elsewhere")  # no loop runs there
    assert events() == ["last", "elsewhere"]
    requests.info("at the end")
    (handler,) = [each for each in logging.getLogger().handlers if each.formatter is not None]
    logging.shutdown([weakref.ref(handler)])  # as the interpreter does with all
    assert events() == ["at the end"]


@pytest.mark.parametrize("in_words", [True, False])
def test_error_is_told_with_its_words_only_where_that_is_wanted(
    capsys: pytest.CaptureFixture[str], in_words: bool
) -> None:
    configure_logging(settings_for(None, log_format="json", log_error_messages=in_words))
    words = "priv" + "ate"  # not in the source line that a traceback shows
    try:
        raise ValueError(words)
    except ValueError:
        logging.getLogger("app.x").exception("It failed")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nprivate")
    logging.getLogger("asyncio").error("Exception in callback cb(<Task result='private'>)")
    failed, lost, called = written(capsys)
    assert "ValueError" in failed["exception"]
    assert ("private" in failed["exception"]) is in_words
    assert ("private" in lost["event"]) is in_words
    assert ("private" in called["event"]) is in_words
    assert called["event"].startswith("Exception in callback cb")
    assert sys.exc_info() == (None, None, None)
