"""What a browser gets of files: bytes, ranges, and headers that keep them from doing harm."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.local_replicas import StartLocal
from tests.support.replica import Page
from tests.uploads.room import picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
async def page(start_local: StartLocal) -> AsyncIterator[Page]:
    replica = await start_local()
    async with Page(replica.url) as page:
        yield page


async def upload(page: Page, name: str, mime_type: str, data: bytes) -> dict[str, Any]:
    files = {"file": (name, data, mime_type)}
    answer = await page.client.post("/api/uploads", files=files, headers=page.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_preview_is_a_picture_that_other_origins_may_show(page: Page) -> None:
    attachment = await upload(page, "a.png", "image/png", picture())
    answer = await page.client.get(attachment["preview_url"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.content[8:12] == b"WEBP"
    assert answer.headers["content-disposition"] == "inline"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "private" in answer.headers["cache-control"]


async def link(page: Page, attachment: dict[str, Any]) -> str:
    """Return the address of the original file."""
    path = f"/api/attachments/{attachment['id']}/link"
    return (await page.client.get(path, headers=page.headers)).json()["url"]


async def test_ranges_of_a_file(page: Page) -> None:
    data = bytes(range(48, 58)) * 100
    url = await link(page, await upload(page, "a.txt", "text/plain", data))
    get = page.client.get
    whole = await get(url)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, start, end in [
        ("bytes=0-9", 0, 10),
        ("bytes=990-", 990, 1000),
        ("bytes=-5", 995, 1000),
        ("bytes=10-99999", 10, 1000),
    ]:
        part = await get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, data[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/1000"
    for asked in ("bytes=1000-", "bytes=-0", f"bytes={'9' * 5000}-"):
        assert (await get(url, headers={"Range": asked})).status_code == 416
    for asked in (f"bytes=0-{'9' * 5000}", f"bytes=-{'9' * 5000}"):
        part = await get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, data)
    for asked in ("bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=9-3"):
        answer = await get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, data)
    for headers in ({}, {"Range": "bytes=0-9"}):
        head = await page.client.head(url, headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == "1000"


async def test_download_goes_on_only_with_the_same_bytes(page: Page) -> None:
    attachment = await upload(page, "a.png", "image/png", picture())
    tags: list[str] = []
    for url in (await link(page, attachment), attachment["preview_url"]):
        whole = await page.client.get(url)
        tag = whole.headers["etag"]
        assert tag.startswith('"')
        tags.append(tag)
        for known, status in ((tag, 206), ('"other"', 200), (f"W/{tag}", 200)):
            headers = {"Range": "bytes=5-", "If-Range": known}
            answer = await page.client.get(url, headers=headers)
            assert answer.status_code == status
            assert answer.content == whole.content[5 if status == 206 else 0 :]
    assert tags[0] != tags[1]


async def test_file_is_not_sent_again_when_its_bytes_are_known(page: Page) -> None:
    url = await link(page, await upload(page, "a.txt", "text/plain", b"words"))
    tag = (await page.client.get(url)).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = await page.client.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    answer = await page.client.get(url, headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.content) == (200, b"words")


async def test_page_of_another_origin_may_read_what_describes_a_file(
    start_local: StartLocal,
) -> None:
    replica = await start_local(cors_origins="https://chat.example")
    async with Page(replica.url) as page:
        url = await link(page, await upload(page, "a.txt", "text/plain", b"words"))
        answer = await page.client.get(url, headers={"Origin": "https://chat.example"})
    exposed = answer.headers["access-control-expose-headers"].lower()
    for name in ("Content-Range", "Content-Disposition", "Accept-Ranges", "ETag", "Retry-After"):
        assert name.lower() in exposed


async def test_generated_image_can_be_had_as_it_was_made(
    start_local: StartLocal,
) -> None:
    replica = await start_local(assistant_server="app.assistant.server:AssistantServer")
    async with Page(replica.url) as page:
        events = await page.create("Draw a sunset")
        thread_id = events[0]["thread"]["id"]
        listed = (await page.ask("items.list", thread_id=thread_id, order="asc"))["data"]
        done = [each["item"] for each in events if each["type"] == "thread.item.done"]
        pictures = [each for each in (*done, *listed) if each["type"] == "generated_image"]
        assert len(pictures) == 2
        for item in pictures:
            answer = await page.client.get(item["image"]["url"])
            assert answer.headers["content-type"] == "image/png"
            assert answer.headers["content-disposition"].startswith("inline;")
            assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "mime_type", "data"),
    [
        ("page.html", "text/html", b"<!doctype html><script>1</script>"),
        ("x.svg", "text/plain", SVG),
    ],
)
async def test_markup_is_a_download(page: Page, name: str, mime_type: str, data: bytes) -> None:
    answer = await page.client.get(await link(page, await upload(page, name, mime_type, data)))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_name_cannot_add_headers_or_folders(page: Page) -> None:
    attachment = await upload(page, 'a/..\\"b\r\nX-Evil: 1;ü.txt', "text/plain", b"words")
    answer = await page.client.get(await link(page, attachment))
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    disposition = answer.headers["content-disposition"]
    assert disposition.count('"') == 2
    assert "/" not in disposition
    assert "filename*=UTF-8''" in disposition


async def test_deleted_file_is_gone(page: Page) -> None:
    attachment = await upload(page, "a.png", "image/png", picture())
    url = await link(page, attachment)
    await page.ask("attachments.delete", attachment_id=attachment["id"])
    for address in (url, attachment["preview_url"]):
        assert (await page.client.get(address)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "settings", "start"),
    [
        ({"Host": "chat.test"}, {}, "http://chat.test/"),
        ({"Host": "chat.test", "X-Forwarded-Proto": "https"}, {}, "https://chat.test/"),
        ({"Host": "inside"}, {"public_url": "https://chat.test/"}, "https://chat.test/"),
    ],
)
async def test_links_lead_to_where_the_browser_reaches_the_server(
    start_local: StartLocal,
    headers: dict[str, str],
    settings: dict[str, Any],
    start: str,
) -> None:
    replica = await start_local(**settings)
    async with Page(replica.url) as page:
        files = {"file": ("a.png", picture(), "image/png")}
        answer = await page.client.post("/api/uploads", files=files, headers=page.headers | headers)
    assert answer.json()["preview_url"].startswith(f"{start}api/previews/")
