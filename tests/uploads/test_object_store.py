"""The same on an object store: a process that speaks S3, and real presigned requests over HTTP."""

import asyncio
import base64
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from obstore.store import S3Store

from app.chatkit.errors import UnprocessableError
from app.chatkit.protocol.items import Attachment, ImageAttachment
from app.chatkit.protocol.requests import AttachmentCreateParams
from tests.support.replica import free_port, listens
from tests.support.waiting import until
from tests.uploads.room import MakeRoom, Room, incoming, picture, send

BUCKET = "chatkit-files"


@pytest.fixture(scope="module")
async def object_store() -> AsyncIterator[str]:
    """A server that speaks S3, with an empty bucket; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await until(lambda: process.poll() is not None or listens(port))
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient() as client:
            assert (await client.put(f"{url}/{BUCKET}")).status_code == 200
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


@pytest.fixture
def room(object_store: str, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A room whose files are in the bucket, under a prefix of its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return make_room(f"s3://{BUCKET}/{uuid.uuid4().hex}")


async def keys(room: Room) -> list[str]:
    """Return what is in the room: ids of files, with ``.preview`` and ``incoming/``."""
    found: list[str] = []
    store: S3Store = room.uploads.storage._store
    async for batch in store.list():
        for each in batch:
            place, _, owner_and_rest = each["path"].partition("incoming/")
            if owner_and_rest:
                found.append("incoming/" + owner_and_rest.rpartition("/")[2])
            else:
                *_, attachment_id, attempt = place.split("/")
                found.append(attachment_id + attempt[attempt.find(".") :] * ("." in attempt))
    return sorted(found)


async def announce(room: Room, name: str, mime_type: str, size: int) -> Attachment:
    params = AttachmentCreateParams(name=name, size=size, mime_type=mime_type)
    attachment = await room.uploads.create_attachment(params, room.context)
    await room.store.save_attachment(attachment, room.context)
    return attachment


async def put(attachment: Attachment, data: bytes) -> httpx.Response:
    """Send the bytes where the descriptor says, as a browser would."""
    descriptor = attachment.upload_descriptor
    assert descriptor is not None
    async with httpx.AsyncClient() as client:
        return await client.request(
            descriptor.method, str(descriptor.url), content=data, headers=descriptor.headers
        )


async def test_bytes_go_to_the_store_and_are_checked_when_they_are_sent(
    room: Room, object_store: str
) -> None:
    data = picture()
    attachment = await announce(room, "a.png", "image/png", len(data))
    assert attachment.upload_descriptor is not None
    assert str(attachment.upload_descriptor.url).startswith(object_store)
    with pytest.raises(UnprocessableError, match="not finished"):
        await room.uploads.chatkit_finish_uploads([attachment], room.context)
    assert (await put(attachment, data)).status_code == 200
    (finished,) = await room.uploads.chatkit_finish_uploads([attachment], room.context)
    assert isinstance(finished, ImageAttachment)
    assert finished.upload_descriptor is None
    assert await keys(room) == [attachment.id, f"{attachment.id}.preview"]
    await send(room, finished)
    content = await room.uploads.chatkit_load_content(
        attachment.id, room.context, max_bytes=10**6, max_text_bytes=10
    )
    assert content is not None


async def test_url_changes_nothing_once_the_file_was_checked(room: Room) -> None:
    attachment = await announce(room, "a.txt", "text/plain", 5)
    await put(attachment, b"words")
    await room.uploads.chatkit_finish_uploads([attachment], room.context)
    await put(attachment, b"EVIL!")
    file = await room.uploads.find_finished(room.context.user_id, attachment.id)
    assert file is not None
    read = b"".join([each async for each in room.uploads.storage.read(file.key)])
    assert read == b"words"


@pytest.mark.parametrize(
    ("name", "mime_type", "size", "data"),
    [
        ("a.txt", "text/plain", 5, b"much more"),
        ("a.txt", "text/plain", 50, b"less"),
        ("a.png", "image/png", 5, b"words"),
        ("a.png", "image/png", 12, b"\x89PNG\r\n\x1a\nbad!"),
    ],
    ids=["larger", "smaller", "another type", "broken"],
)
async def test_file_is_refused_and_removed(
    room: Room, name: str, mime_type: str, size: int, data: bytes
) -> None:
    attachment = await announce(room, name, mime_type, size)
    await put(attachment, data)
    with pytest.raises(UnprocessableError):
        await room.uploads.chatkit_finish_uploads([attachment], room.context)
    assert await keys(room) == []
    assert await room.states() == {}


async def test_direct_uploads_ranges_and_deletion(room: Room) -> None:
    data = bytes(range(256)) * 3000
    attachment = await room.uploads.receive(
        incoming("a.bin", "text/plain", b"x" * 10, b"y" * 700_000), 0, room.context
    )
    file = await room.uploads.find_finished(room.context.user_id, attachment.id)
    assert file is not None
    part = [each async for each in room.uploads.storage.read(file.key, 8, 12)]
    assert b"".join(part) == b"xxyy"
    assert len(data) > 700_000
    await room.uploads.delete_attachment(attachment.id, room.context)
    assert await keys(room) == []


async def test_failed_write_leaves_nothing(room: Room) -> None:
    async def broken() -> Any:
        yield b"x" * 6_000_000
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await room.uploads.storage.write("half", broken())
    assert await keys(room) == []


async def test_cleanup_removes_what_was_put_and_never_sent(room: Room) -> None:
    attachment = await announce(room, "a.txt", "text/plain", 5)
    await put(attachment, b"words")
    await room.cleanup(keep=0).tidy()
    assert await keys(room) == []
    assert attachment.id not in await room.states()


async def test_file_that_was_put_waits_for_its_message_beyond_the_life_of_its_url(
    room: Room,
) -> None:
    attachment = await announce(room, "a.txt", "text/plain", 5)
    await put(attachment, b"words")
    room.uploads.limits = replace(room.uploads.limits, url_ttl=-10.0)
    await room.cleanup(keep=3600).tidy()
    assert await keys(room) == [f"incoming/{attachment.id}"]
    await room.uploads.chatkit_finish_uploads([attachment], room.context)
    assert await keys(room) == [attachment.id]


async def test_azure_is_told_what_kind_of_blob_is_put(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"k" * 32).decode())
    room = make_room("az://container/chat")
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    assert attachment.upload_descriptor is not None
    assert attachment.upload_descriptor.headers == {"x-ms-blob-type": "BlockBlob"}


async def test_cleanup_removes_what_was_put_behind_the_check(
    room: Room,
) -> None:
    attachment = await announce(room, "a.txt", "text/plain", 5)
    await put(attachment, b"words")
    await room.uploads.chatkit_finish_uploads([attachment], room.context)
    await send(room, attachment)
    await put(attachment, b"late!")
    assert await keys(room) == [attachment.id, f"incoming/{attachment.id}"]
    await room.cleanup(keep=3600).tidy()
    assert await keys(room) == [attachment.id, f"incoming/{attachment.id}"]  # its URL is still good
    room.uploads.limits = replace(room.uploads.limits, url_ttl=-10.0)
    await room.cleanup(keep=-10).tidy()
    assert await keys(room) == [attachment.id]
