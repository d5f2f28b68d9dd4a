"""Addresses that a provider names: only those of the web and of mail reach a page."""

import pytest

from app.chatkit.agents.hosted_tools import describe_hosted_tool
from app.chatkit.agents.safe_urls import is_safe_url
from tests.providers.checks import answers, check_turn
from tests.providers.scripts import Script, added, finished, message, responses, text_delta
from tests.support.conversation import done_items

BAD = [
    "http://[::bad",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "http://",
    "http://a b",
    "java\nscript:alert(1)",
    "http://a:port/",
    "//evil.example",
    "",
]


@pytest.mark.parametrize("url", BAD)
def test_bad_address_is_refused(url):
    assert not is_safe_url(url)


@pytest.mark.parametrize(
    "url", ["https://a.example/b?c#d", "HTTP://A.example", "mailto:a@b.example", "http://[::1]/"]
)
def test_good_address_is_passed_on(url):
    assert is_safe_url(url)


def test_sources_without_a_good_address_are_left_out():
    sources = [{"url": url} for url in (*BAD, "https://a.example/b")]
    item = {"type": "web_search_call", "action": {"query": "cats", "sources": sources}}
    task = describe_hosted_tool(item, done=True)
    assert [each.url for each in task.sources] == ["https://a.example/b"]


async def test_answer_is_shown_without_its_malformed_source(play, fake):
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "cats", "sources": [{"url": url} for url in BAD]},
    }
    text = message("Cats are fine.")
    text["content"][0]["annotations"] = [
        {"type": "url_citation", "url": url, "title": "t", "start_index": 0, "end_index": 3}
        for url in (*BAD, "https://a.example/b")
    ]
    answer = responses(
        added(search),
        finished(search),
        added(message(""), 1),
        text_delta("Cats are fine.", index=1),
        finished(text, 1),
        output=[search, text],
    )
    conversation = play(Script("a variant", (answer,), "responses"))
    events = await conversation.say("cats?")
    await check_turn(conversation, events)
    assert answers(events) == ["Cats are fine."]
    (item,) = done_items(events, "assistant_message")
    urls = [each["source"]["url"] for each in item["content"][0]["annotations"]]
    assert urls == ["https://a.example/b"]
