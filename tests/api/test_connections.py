"""Connections that stand still end, whatever they stand still at: a real server over sockets."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from app import connections
from app.connections import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    ConnectionLimits,
    ConnectionWatch,
    WatchedConnection,
)
from tests.support.replica import Page, Replica, message

QUICK = {
    "header_timeout": 0.4,
    "request_body_timeout": 1.0,
    "stream_send_timeout": 2.0,
    "stream_heartbeat": 0.1,
    "session_requests_per_minute": 0,
    "user_requests_per_minute": 0,
    "message_max_chars": 4_000_000,
    "user_streams": 3,
    "keep_alive": 1,
}
GIVE_UP = 20.0
"""Seconds after which a connection that should have ended has not; nothing waits for that long."""


@pytest.fixture(scope="module")
async def quick(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that waits for nobody for long."""
    replica = Replica(database_url, tmp_path_factory.mktemp("quick"), **QUICK)
    yield await replica.start()
    await replica.kill()


@asynccontextmanager
async def connection(
    replica: Replica, *, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    peer = socket.socket()
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.setblocking(False)
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", replica.port))
    reader, writer = await asyncio.open_connection(sock=peer, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """Return what is received until the server ends the connection."""
    received = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(GIVE_UP):
            while data := await reader.read(65_536):
                received += data
    return received


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def memory(replica: Replica) -> int:
    """Return the resident memory of the server in bytes."""
    pages = int(Path(f"/proc/{replica.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- what is sent half ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"GET ",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 1000,
    ],
    ids=["nothing", "a line feed", "a word", "headers without an end", "a header without an end"],
)
async def test_connection_ends_when_no_complete_head_arrives(quick: Replica, sent: bytes) -> None:
    async with connection(quick) as (reader, writer):
        writer.write(sent)
        assert await ends(reader) == b""


async def test_connection_ends_when_a_head_arrives_byte_by_byte(quick: Replica) -> None:
    async with connection(quick) as (reader, writer):
        ended = asyncio.create_task(ends(reader))
        while not ended.done():
            writer.write(b"G" if writer.transport.is_closing() else b"X-A: 1\r\n")
            await asyncio.sleep(0.02)
        await ended


async def test_connection_ends_when_a_second_head_stays_half(quick: Replica) -> None:
    async with connection(quick) as (reader, writer):
        writer.write(head("/healthz", method="GET") + b"GET /heal")
        assert (await ends(reader)).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("path", ["/chatkit", "/api/chatkit/session", "/v1/chatkit/sessions"])
@pytest.mark.parametrize("how", ["silent", "slowly"])
async def test_request_is_refused_when_its_body_does_not_arrive(
    quick: Replica, path: str, how: str
) -> None:
    async with Page(quick.url) as page, connection(quick) as (reader, writer):
        lines = [f"Authorization: Bearer {page.secret}", "Content-Length: 10000"]
        writer.write(head(path, *lines, "Content-Type: application/json") + b"{")
        ended = asyncio.create_task(ends(reader))
        while how == "slowly" and not ended.done():
            writer.write(b" ")
            await asyncio.sleep(0.02)
        answer = await ended
    assert answer.split(b" ")[1] == b"408"


async def test_connection_ends_when_a_body_goes_on_behind_its_answer(quick: Replica) -> None:
    async with connection(quick) as (reader, writer):
        writer.write(head("/healthz", "Content-Length: 1000000", method="GET"))
        ended = asyncio.create_task(ends(reader))
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert (await ended).startswith(b"HTTP/1.1 200 OK")


async def test_connection_is_used_again_when_it_waits_no_longer_than_is_allowed(
    quick: Replica,
) -> None:
    async with connection(quick) as (reader, writer):
        for _ in range(3):
            writer.write(head("/healthz", method="GET"))
            answer = await reader.readuntil(b'{"status":"ok"}')
            assert answer.startswith(b"HTTP/1.1 200 OK")
            await asyncio.sleep(0.6)  # longer than for a head: nothing of one has been sent


async def test_connection_ends_when_no_further_request_comes(quick: Replica) -> None:
    async with connection(quick) as (reader, writer):
        writer.write(head("/healthz", method="GET"))
        assert (await ends(reader)).endswith(b'{"status":"ok"}')


# --- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        head("/healthz", "X-A: " + "a" * MAX_HEAD_BYTES, method="GET"),
        head("/healthz", *[f"X-{i}: {'a' * 1000}" for i in range(70)], method="GET"),
        head("/healthz", *[f"X-{i}: a" for i in range(MAX_HEADERS + 1)], method="GET"),
        head("/healthz?" + "a" * MAX_HEAD_BYTES, method="GET"),
        b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 10 * MAX_HEAD_BYTES,
        b"GET /" + b"a" * 10 * MAX_HEAD_BYTES,
        head("/healthz", method="GET") + head("/", "X-A: " + "a" * MAX_HEAD_BYTES),
    ],
    ids=["a header", "headers", "many", "a query", "without an end", "a line", "the second"],
)
async def test_request_is_refused_when_its_head_is_too_large(quick: Replica, sent: bytes) -> None:
    async with connection(quick) as (reader, writer):
        writer.write(sent)
        answer = await ends(reader)
    *_, last = answer.split(b"HTTP/1.1 ")
    assert last.startswith(b"431 ")
    assert json.loads(last.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


async def test_request_is_answered_when_its_head_is_large(quick: Replica) -> None:
    async with connection(quick) as (reader, writer):
        lines = [f"X-{i}: {'a' * 1000}" for i in range(60)]
        writer.write(head("/healthz", *lines, "Connection: close", method="GET"))
        assert (await ends(reader)).startswith(b"HTTP/1.1 200 OK")


async def test_memory_stays_when_heads_without_an_end_are_sent(quick: Replica) -> None:
    before = memory(quick)
    for _ in range(5):
        async with connection(quick) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 20_000_000)
            await ends(reader)
    assert memory(quick) - before < 30_000_000


# --- what nobody takes ---------------------------------------------------------------------------


async def large_thread(page: Page) -> str:
    """Return a thread whose first page is a megabyte."""
    events = await page.create("x" * 3_500_000)
    return next(each["thread"]["id"] for each in events if each["type"] == "thread.created")


def listing(page: Page, thread_id: str) -> bytes:
    body = json.dumps({"type": "items.list", "params": {"thread_id": thread_id}}).encode()
    lines = [f"Authorization: Bearer {page.secret}", f"Content-Length: {len(body)}"]
    return head("/chatkit", *lines) + body


async def read_nothing(replica: Replica, page: Page, thread_id: str, readers: int) -> None:
    """Ask for a large page many times, read none of it, and wait until all have been let go."""
    before = replica.log.count("takes nothing")
    peers: list[socket.socket] = []
    for _ in range(readers):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", replica.port))
        peer.sendall(listing(page, thread_id))
        peers.append(peer)
    await until(lambda: replica.log.count("takes nothing") >= before + readers)
    for peer in peers:
        peer.settimeout(GIVE_UP)
        received = 0
        with suppress(ConnectionResetError):
            while data := peer.recv(1_000_000):
                received += len(data)
        assert received < 3_500_000
        peer.close()


async def test_readers_that_read_nothing_are_let_go_and_free_what_was_theirs(
    quick: Replica,
) -> None:
    async with Page(quick.url) as page:
        thread_id = await large_thread(page)
        await read_nothing(quick, page, thread_id, 20)
        before = memory(quick)
        for _ in range(3):
            await read_nothing(quick, page, thread_id, 20)
        assert memory(quick) - before < 20 * 3_500_000 / 2


async def test_stream_ends_when_its_reader_takes_nothing(quick: Replica) -> None:
    async with Page(quick.url) as page:
        before = quick.log.count("takes nothing")
        params = {"input": message("x" * 3_000_000)}
        body = json.dumps({"type": "threads.create", "params": params}).encode()
        async with connection(quick, receive_buffer=4096) as (reader, writer):
            lines = [f"Authorization: Bearer {page.secret}", f"Content-Length: {len(body)}"]
            writer.write(head("/chatkit", *lines) + body)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: quick.log.count("takes nothing") > before)


async def test_download_ends_when_its_reader_takes_nothing(quick: Replica) -> None:
    async with Page(quick.url) as page:
        before = quick.log.count("takes nothing")
        file = {"file": ("a.pdf", b"%PDF-1.7" + b"\0" * 12_000_000, "application/pdf")}
        sent = await page.client.post("/api/uploads", files=file, headers=page.headers)
        attachment_id = sent.json()["id"]
        link = await page.client.get(f"/api/attachments/{attachment_id}/link", headers=page.headers)
        path = link.json()["url"].removeprefix(quick.url)
        async with connection(quick, receive_buffer=4096) as (reader, writer):
            writer.write(head(path, method="GET"))
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: quick.log.count("takes nothing") > before)


async def test_answer_arrives_whole_when_its_reader_is_slow_but_reads_on(quick: Replica) -> None:
    async with Page(quick.url) as page:
        thread_id = await large_thread(page)
        async with connection(quick, receive_buffer=65_536) as (reader, writer):
            writer.write(listing(page, thread_id))
            received = 0
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while received < length:
                received += len(await reader.read(65_536))
                await asyncio.sleep(0.03)
        assert received == length > 3_000_000


async def test_slowest_readers_are_let_go_when_all_together_hold_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Peer(WatchedConnection):
        def __init__(self, unsent: int, since: float) -> None:
            self._counted = Mock(get_write_buffer_size=lambda: unsent, written=unsent)
            self._head_since = self._unread_since = None
            self._stands_since, self._taken_then = since, 0
            self.flow = Mock(write_paused=False)

    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 100)
    peers = [Peer(60, now - 1), Peer(60, now - 3), Peer(60, now - 2), Peer(0, now - 9)]
    limits = ConnectionLimits(head=60, send=60)
    ConnectionWatch(peers, limits).look()
    assert [each._counted.abort.called for each in peers] == [False, True, True, False]


# --- streams -------------------------------------------------------------------------------------


async def test_streams_of_a_user_are_bounded_and_another_user_has_their_own(
    quick: Replica,
) -> None:
    story = {"input": message("Tell me a long story")}
    async with Page(quick.url) as page, Page(quick.url) as other:
        async with AsyncExitStack() as stack:
            streams: list[Any] = []
            for _ in range(3):
                events = await stack.enter_async_context(page.open("threads.create", **story))
                streams.append(aiter(events))
                await anext(streams[-1])
            refused = await page.client.post(
                "/chatkit",
                json={"type": "threads.create", "params": story},
                headers=page.headers,
            )
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0
            attach = await page.client.get("/api/threads/thr_x/stream", headers=page.headers)
            assert attach.status_code == 429
            events = await stack.enter_async_context(other.open("threads.create", **story))
            streams.append(aiter(events))
            await anext(streams[-1])
            for each in streams:
                await each.aclose()

        # Those that were closed make room, and so do those that were refused.
        async def is_free() -> bool:
            gone = await page.client.get("/api/threads/thr_x/stream", headers=page.headers)
            return gone.status_code == 404

        async with asyncio.timeout(GIVE_UP):
            while not await is_free():
                await asyncio.sleep(0.02)
        for _ in range(5):
            assert await is_free()


async def until(condition: Any) -> None:
    async with asyncio.timeout(GIVE_UP):
        while not condition():
            await asyncio.sleep(0.02)
