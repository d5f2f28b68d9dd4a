"""Large files and sudden ends, against a real server process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.db.pool import ConnectionPool
from tests.support.replica import Page, Replica
from tests.support.waiting import PATIENCE

MEGABYTE = 1024 * 1024
SIZE = 200 * MEGABYTE
PIECE = b"All work and no play makes Jack a dull boy.\n" * 3000


def memory(replica: Replica, name: str = "VmRSS") -> int:
    """Return the memory of a process in bytes."""
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


async def body(size: int) -> AsyncIterator[bytes]:
    """Yield a multipart body with a file of that size."""
    yield (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="long.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n"
    )
    while size > 0:
        yield PIECE[:size]
        size -= len(PIECE)
    yield b"\r\n--x--\r\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_memory_stays_flat_when_a_file_has_two_hundred_megabytes(
    database_url: str, tmp_path: Path
) -> None:
    quota = 20 * MEGABYTE + 2 * (SIZE - MEGABYTE)
    replica = Replica(database_url, tmp_path, upload_max_bytes=SIZE, upload_user_bytes=quota)
    await replica.start()
    try:
        async with Page(replica.url) as page:
            headers = page.headers | {"Content-Type": "multipart/form-data; boundary=x"}

            async def upload(size: int) -> httpx.Response:
                return await page.client.post("/api/uploads", content=body(size), headers=headers)

            assert (await upload(20 * MEGABYTE)).status_code == 200  # what is loaded once
            before, peak = memory(replica), 0
            sending = asyncio.create_task(upload(SIZE - MEGABYTE))
            while not sending.done():
                peak = max(peak, memory(replica))
                await asyncio.sleep(0.01)
            assert (await sending).status_code == 200
            assert peak - before < 20 * MEGABYTE, f"{(peak - before) / MEGABYTE:.1f} MB"
            refused = await upload(SIZE + 1)
            assert refused.status_code == 413
            assert "in all" in refused.text
            assert (await upload(SIZE - MEGABYTE)).status_code == 200
            # Refused before its first byte: who sends it hears why all the same.
            refused = await upload(SIZE - MEGABYTE)
            assert refused.status_code == 422
            assert "in all" in refused.text
    finally:
        await replica.kill()


async def test_no_orphan_survives_when_the_server_is_killed_in_mid_upload(
    database_url: str, tmp_path: Path, pool: ConnectionPool
) -> None:
    replica = Replica(database_url, tmp_path, upload_keep=1, upload_cleanup_interval=0.2)
    await replica.start()
    files = tmp_path / "data" / "files"

    def stored() -> list[Path]:
        return [each for each in files.rglob("*") if each.is_file()]

    async def states() -> list[str]:
        rows = await pool.fetch("SELECT upload_state FROM attachments WHERE user_id = $1", [user])
        return [row.upload_state for row in rows]

    async def slow() -> AsyncIterator[bytes]:
        async for chunk in body(8 * MEGABYTE):
            yield chunk
            if len(stored()) > 0 and chunk == PIECE:
                await asyncio.sleep(0.05)

    async with Page(replica.url) as page:
        before = await pool.fetch("SELECT user_id FROM attachments WHERE $1 = ''", [""])
        known = {row.user_id for row in before}
        headers = page.headers | {"Content-Type": "multipart/form-data; boundary=x"}
        sending = asyncio.create_task(
            page.client.post("/api/uploads", content=slow(), headers=headers)
        )
        user = ""
        while not (user and stored()):
            rows = await pool.fetch("SELECT user_id FROM attachments WHERE $1 = ''", [""])
            user = next((row.user_id for row in rows if row.user_id not in known), "")
            await asyncio.sleep(0.01)
        await replica.kill()
        with pytest.raises(httpx.TransportError):
            await sending
    assert await states() == ["uploading"]
    assert stored()
    await replica.start()
    try:
        async with asyncio.timeout(PATIENCE):
            while stored() or await states():
                await asyncio.sleep(0.05)
    finally:
        await replica.kill()
