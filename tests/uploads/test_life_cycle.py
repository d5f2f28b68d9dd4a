"""From announcement to end: states, limits, links, and who removes what is left over."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.chatkit.context import RequestContext, SessionFeatures
from app.chatkit.errors import (
    InvalidRequestError,
    NotFoundError,
    ThreadConflictError,
    UnprocessableError,
)
from app.chatkit.protocol.items import (
    GeneratedImage,
    GeneratedImageItem,
    ImageAttachment,
    Page,
    Thread,
    UserMessageItem,
    now,
)
from app.chatkit.protocol.requests import AttachmentCreateParams
from app.db.database import Database
from app.db.pool import ConnectionPool
from app.db.server_api_threads import Cursor, ServerApiThreads
from app.errors import ForbiddenError, PayloadTooLargeError
from app.uploads import attempts
from app.uploads.attempts import new_key
from app.uploads.receiving import SlowUploadError, read_body
from tests.support.waiting import PATIENCE
from tests.uploads.room import PUBLIC_URL, MakeRoom, Room, chunks_of, incoming, picture, send


async def test_image_gets_a_preview_and_a_link(room: Room) -> None:
    data = picture()
    attachment = await room.uploads.receive(
        incoming("a.png", "image/png", data[:10], data[10:]), len(data), room.context
    )
    assert isinstance(attachment, ImageAttachment)
    assert str(attachment.preview_url).startswith(f"{PUBLIC_URL}/api/previews/")
    assert room.stored() == [attachment.id, f"{attachment.id}.preview"]
    file = await room.uploads.find_finished(room.context.user_id, attachment.id)
    assert file is not None
    assert (file.mime_type, file.size, file.preview_type) == ("image/png", len(data), "image/webp")


async def test_links_are_fresh_in_old_messages_and_never_stored(
    room: Room, pool: ConnectionPool
) -> None:
    data = picture()
    attachment = await room.uploads.receive(
        incoming("a.png", "image/png", data), len(data), room.context
    )
    thread_id = await send(room, attachment)
    rows = await pool.fetch(
        "SELECT data FROM thread_items WHERE user_id = $1", [room.context.user_id]
    )
    assert f'"attachment:{attachment.id}"' in rows[0].data
    assert "/api/previews/" not in rows[0].data
    page = await room.store.chatkit_load_items_json(thread_id, None, 10, "asc", room.context)
    assert f"{PUBLIC_URL}/api/previews/".encode() in page
    assert b"attachment:" not in page
    elsewhere = RequestContext(user_id=room.context.user_id, public_url="https://other.test")
    (item,) = (await room.store.load_thread_items(thread_id, None, 9, "asc", elsewhere)).data
    assert isinstance(item, UserMessageItem)
    (shown,) = item.attachments
    assert isinstance(shown, ImageAttachment)
    assert str(shown.preview_url).startswith("https://other.test/api/previews/")


async def test_server_api_gives_links_as_well(room: Room, pool: ConnectionPool) -> None:
    attachment = await room.uploads.receive(
        incoming("sea.png", "image/png", picture()), 0, room.context
    )
    thread_id = await send(room, attachment)
    threads = ServerApiThreads(Database(pool), room.uploads.urls)
    (item,), _ = await threads.list_items(thread_id, Cursor(), 10, public_url="https://other.test")
    url = UserMessageItem.model_validate_json(item).attachments[0].preview_url
    token = room.uploads.urls.read("previews", str(url).rpartition("/")[2])
    assert str(url).startswith("https://other.test/api/previews/")
    assert (token.user_id, token.attachment_id) == (room.context.user_id, attachment.id)


async def test_announced_file_is_taken_once(room: Room) -> None:
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    await room.store.save_attachment(attachment, room.context)  # as the engine does
    assert attachment.upload_descriptor is not None
    with pytest.raises(UnprocessableError, match="not finished"):
        await room.uploads.chatkit_finish_uploads([attachment], room.context)
    await room.uploads.receive_announced(attachment.id, chunks_of(b"he", b"llo"), room.context)
    with pytest.raises(ThreadConflictError):
        await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)
    loaded = await room.store.load_attachment(attachment.id, room.context)
    assert loaded.upload_descriptor is None
    await send(room, loaded)


async def test_cut_upload_can_be_sent_again(room: Room) -> None:
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)

    async def cut() -> Any:
        yield b"he"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await room.uploads.receive_announced(attachment.id, cut(), room.context)
    assert room.stored() == []
    await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)
    assert room.stored() == [attachment.id]


@pytest.mark.parametrize("lost", [ConnectionError("away"), asyncio.CancelledError()])
async def test_file_stays_when_the_answer_to_its_end_is_lost(
    room: Room, monkeypatch: pytest.MonkeyPatch, lost: BaseException
) -> None:
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    finish = room.repository.finish

    async def lose_answer(*args: Any, **values: Any) -> bool:
        await finish(*args, **values)
        raise lost

    with monkeypatch.context() as patch, pytest.raises(type(lost)):
        patch.setattr(room.repository, "finish", lose_answer)
        await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)
    assert await room.states() == {attachment.id: "finished"}
    assert room.stored() == [attachment.id]
    with pytest.raises(ThreadConflictError):
        await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)


async def test_upload_begins_when_what_another_left_cannot_be_removed(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(idle_timeout=-60.0)
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    key = new_key(room.context.user_id, attachment.id)
    await room.repository.claim(room.context.user_id, attachment.id, key, abandoned=0)

    async def fail(*_: str) -> None:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(room.uploads.storage, "delete", fail)
        await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)
    assert await room.states() == {attachment.id: "finished"}


async def test_time_limit_holds_when_whoever_takes_the_bytes_is_slow() -> None:
    async def ready() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    with pytest.raises(SlowUploadError, match="longer than"):
        async for _ in read_body(ready(), idle=10, timeout=0.1):
            await asyncio.sleep(0.03)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"size": 0}, InvalidRequestError),
        ({"size": -1}, InvalidRequestError),
        ({"size": 1_000_001}, PayloadTooLargeError),
        ({"mime_type": "application/x-msdownload"}, UnprocessableError),
        ({"mime_type": "image/svg+xml"}, UnprocessableError),
    ],
)
async def test_announcement_is_refused(
    room: Room, values: dict[str, Any], error: type[Exception]
) -> None:
    given = {"name": "a.txt", "size": 5, "mime_type": "text/plain", **values}
    with pytest.raises(error):
        await room.uploads.create_attachment(AttachmentCreateParams(**given), room.context)
    assert await room.states() == {}


@pytest.mark.parametrize(
    ("name", "declared", "data", "found"),
    [
        ("a.png", "application/octet-stream", picture(), "image/png"),
        ("a.py", "", b"print(1)\n", "text/plain"),
        ("a.csv", "application/vnd.ms-excel", b"a,b\n", "text/csv"),
        ("a.ts", "video/mp2t", b"let a = 1\n", "text/plain"),
        ("a.sh", "application/x-shellscript", b"#!/bin/sh\n", "application/x-shellscript"),
        ("a.foo", "application/x-made-up", b"words\n", "text/plain"),
    ],
)
async def test_type_is_decided_by_the_bytes_when_the_announcement_leaves_it_open(
    room: Room, name: str, declared: str, data: bytes, found: str
) -> None:
    params = AttachmentCreateParams(name=name, size=len(data), mime_type=declared)
    announced = await room.uploads.create_attachment(params, room.context)
    taken = await room.uploads.receive_announced(announced.id, chunks_of(data), room.context)
    assert taken.mime_type == found
    direct = await room.uploads.receive(incoming(name, declared, data), 0, room.context)
    assert direct.mime_type == found


async def test_file_of_a_wrong_type_is_refused_when_its_bytes_are_there(room: Room) -> None:
    data = b"MZ\x90\0\x03\0\0\0"
    params = AttachmentCreateParams(name="a", size=len(data), mime_type="")
    announced = await room.uploads.create_attachment(params, room.context)
    with pytest.raises(UnprocessableError, match="x-msdownload are not taken"):
        await room.uploads.receive_announced(announced.id, chunks_of(data), room.context)
    assert await room.states() == {}


async def test_session_narrows_what_may_be_uploaded(room: Room) -> None:
    user_id = room.context.user_id
    params = AttachmentCreateParams(name="a.txt", size=500, mime_type="text/plain")
    off = RequestContext(user_id, features=SessionFeatures(uploads=False), public_url=PUBLIC_URL)
    with pytest.raises(ForbiddenError):
        await room.uploads.create_attachment(params, off)
    with pytest.raises(ForbiddenError):
        await room.uploads.receive(incoming("a.txt", "text/plain", b"x"), 1, off)
    file = await room.uploads.receive(incoming("a.txt", "text/plain", b"x"), 1, room.context)
    with pytest.raises(ForbiddenError):
        await room.uploads.chatkit_finish_uploads([file], off)
    assert await room.uploads.chatkit_finish_uploads([], off) == []
    small = RequestContext(
        user_id, features=SessionFeatures(max_upload_bytes=499), public_url=PUBLIC_URL
    )
    with pytest.raises(PayloadTooLargeError, match="499"):
        await room.uploads.create_attachment(params, small)
    with pytest.raises(PayloadTooLargeError, match="499"):
        await room.uploads.receive(incoming("a.txt", "text/plain", b"x" * 500), 0, small)
    files = [
        await room.uploads.receive(incoming("a.txt", "text/plain", b"x"), 1, room.context)
        for _ in range(2)
    ]
    one = RequestContext(user_id, features=SessionFeatures(max_uploads=1), public_url=PUBLIC_URL)
    with pytest.raises(UnprocessableError, match="1 files"):
        await room.uploads.chatkit_finish_uploads(files, one)


async def test_files_of_a_user_are_limited_in_all(make_room: MakeRoom) -> None:
    room = make_room(user_bytes=1000, file_bytes=900)
    await room.uploads.receive(incoming("a.txt", "text/plain", b"x" * 900), 900, room.context)
    # The length may be said or not.
    for said, error in ((200, UnprocessableError), (0, PayloadTooLargeError)):
        with pytest.raises(error, match="1000 bytes in all"):
            file = incoming("b.txt", "text/plain", b"x" * 200)
            await room.uploads.receive(file, said, room.context)
    assert len(room.stored()) == 1
    for said in (50, 0):  # what is left can be used
        await room.uploads.receive(incoming("c.txt", "text/plain", b"x" * 50), said, room.context)
    with pytest.raises(UnprocessableError, match="1000 bytes in all"):
        await room.uploads.receive(incoming("d.txt", "text/plain", b"x"), 0, room.context)


async def test_announcements_at_once_cannot_exceed_the_quota_together(make_room: MakeRoom) -> None:
    room = make_room(user_bytes=1000, file_bytes=900)
    params = AttachmentCreateParams(name="a.txt", size=300, mime_type="text/plain")
    outcomes = await asyncio.gather(
        *(room.uploads.create_attachment(params, room.context) for _ in range(12)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, BaseException) for each in outcomes) == 3
    refusals = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, UnprocessableError) for each in refusals)


@pytest.mark.parametrize("late", ["finishes", "fails", "is refused"])
async def test_upload_that_was_given_up_harms_its_successor_in_no_way(
    make_room: MakeRoom, late: str
) -> None:
    room = make_room(idle_timeout=-60.0)  # every upload counts as given up at once
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"no"
        begun.set()
        await go_on.wait()
        if late == "fails":
            raise ConnectionResetError("gone")
        yield b"ne" + b"ne" * (late == "is refused")
        yield b"!"

    first = asyncio.create_task(
        room.uploads.receive_announced(attachment.id, slowly(), room.context)
    )
    await begun.wait()
    await room.uploads.receive_announced(attachment.id, chunks_of(b"hello"), room.context)
    go_on.set()
    (outcome,) = await asyncio.gather(first, return_exceptions=True)
    assert isinstance(outcome, Exception)
    if late == "finishes":
        assert isinstance(outcome, ThreadConflictError)
    assert await room.states() == {attachment.id: "finished"}
    file = await room.uploads.find_finished(room.context.user_id, attachment.id)
    assert file is not None
    assert b"".join([each async for each in room.uploads.storage.read(file.key)]) == b"hello"
    assert room.stored() == [attachment.id]


async def test_upload_that_is_taken_up_again_replaces_what_its_server_left(
    make_room: MakeRoom,
) -> None:
    room = make_room(idle_timeout=-60.0)
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    key = new_key(room.context.user_id, attachment.id)
    await room.repository.claim(room.context.user_id, attachment.id, key, abandoned=0)
    await room.uploads.storage.write(key, chunks_of(b"hello"))  # and then it dies
    await room.uploads.receive_announced(attachment.id, chunks_of(b"again"), room.context)
    assert room.stored() == [attachment.id]


async def test_upload_is_renewed_while_it_is_under_way(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "RENEWAL", 0.01)
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"hel"
        (before,) = await room.repository.list_of_user(room.context.user_id)
        assert before.upload_state == "uploading"
        async with asyncio.timeout(PATIENCE):
            while True:
                (row,) = await room.repository.list_of_user(room.context.user_id)
                if row.touched_at > before.touched_at:
                    break
        yield b"lo"

    await room.uploads.receive_announced(attachment.id, slowly(), room.context)
    assert await room.states() == {attachment.id: "finished"}


async def test_renewal_ends_when_another_attempt_counts(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "RENEWAL", 0.01)
    user_id = room.context.user_id
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    attachment = await room.uploads.create_attachment(params, room.context)
    mine, other = (new_key(user_id, attachment.id) for _ in range(2))
    outcomes: list[bool | None] = []
    touch = room.repository.touch

    async def watched(*args: str) -> bool:
        if not outcomes:
            outcomes.append(None)
            raise ConnectionError("away")  # which does not end it
        counts = await touch(*args)
        outcomes.append(counts)
        return counts

    monkeypatch.setattr(room.repository, "touch", watched)
    await room.repository.claim(user_id, attachment.id, other, abandoned=0)
    async with room.uploads.attempts.keep_alive(user_id, attachment.id, mine):
        async with asyncio.timeout(PATIENCE):
            while False not in outcomes:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    assert outcomes == [None, False]


async def test_other_users_files_are_unknown(room: Room) -> None:
    attachment = await room.uploads.receive(
        incoming("a.txt", "text/plain", b"mine"), 4, room.context
    )
    stranger = RequestContext(user_id=f"other_{room.context.user_id}", public_url=PUBLIC_URL)
    with pytest.raises(NotFoundError):
        await room.uploads.chatkit_finish_uploads([attachment], stranger)
    with pytest.raises(NotFoundError):
        await room.uploads.delete_attachment(attachment.id, stranger)
    with pytest.raises(NotFoundError):
        await room.uploads.receive_announced(attachment.id, chunks_of(b"x"), stranger)
    assert (
        await room.uploads.chatkit_load_content(
            attachment.id, stranger, max_bytes=99, max_text_bytes=99
        )
        is None
    )
    assert room.stored() == [attachment.id]


async def test_deleting_removes_row_and_bytes(room: Room) -> None:
    data = picture()
    attachment = await room.uploads.receive(
        incoming("a.png", "image/png", data), len(data), room.context
    )
    await room.uploads.delete_attachment(attachment.id, room.context)
    await room.store.delete_attachment(attachment.id, room.context)
    assert room.stored() == []
    assert await room.states() == {}
    with pytest.raises(NotFoundError):
        await room.uploads.delete_attachment(attachment.id, room.context)


async def test_deleting_a_thread_removes_its_files(room: Room) -> None:
    attachment = await room.uploads.receive(
        incoming("a.txt", "text/plain", b"words"), 5, room.context
    )
    kept = await room.uploads.receive(incoming("b.txt", "text/plain", b"kept"), 4, room.context)
    thread_id = await send(room, attachment)
    await send(room, kept)
    await room.store.delete_thread(thread_id, room.context)
    assert (await room.states())[attachment.id] == "deleted"
    with pytest.raises(NotFoundError):
        await room.store.load_attachment(attachment.id, room.context)
    await room.cleanup(keep=3600).tidy()
    assert room.stored() == [kept.id]
    assert await room.states() == {kept.id: "finished"}


async def test_cleanup_removes_what_was_never_finished_or_sent(room: Room) -> None:
    params = AttachmentCreateParams(name="a.txt", size=5, mime_type="text/plain")
    await room.uploads.create_attachment(params, room.context)
    unsent = await room.uploads.receive(incoming("b.txt", "text/plain", b"unsent"), 6, room.context)
    sent = await room.uploads.receive(incoming("c.txt", "text/plain", b"sent"), 4, room.context)
    await send(room, sent)
    await room.cleanup(keep=3600).tidy()
    assert len(await room.states()) == 3
    assert unsent.id in room.stored()
    await room.cleanup(keep=0).tidy()
    assert await room.states() == {sent.id: "finished"}
    assert room.stored() == [sent.id]


async def test_cleanup_tries_again_when_the_storage_was_away(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.uploads.receive(incoming("b.txt", "text/plain", b"unsent"), 6, room.context)

    async def away(*_: str) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(room.uploads.storage, "delete_folder", away)
        await room.cleanup(keep=0).tidy()
    assert list((await room.states()).values()) == ["deleted"]
    before = now()
    (row,) = await room.repository.list_of_user(room.context.user_id)
    assert (before - row.touched_at).total_seconds() < 60  # at the end of the queue again
    await room.cleanup(keep=0).tidy()
    assert await room.states() == {}
    assert room.stored() == []


async def test_generated_image_is_kept_and_linked(room: Room) -> None:
    url = await room.uploads.chatkit_save_generated_image(picture(), room.context)
    assert url is not None
    attachment_id = room.uploads.chatkit_find_attachment_id(url)
    assert attachment_id is not None
    assert attachment_id in room.stored()
    content = await room.uploads.chatkit_load_content(
        attachment_id, room.context, max_bytes=10**6, max_text_bytes=10
    )
    assert content is not None
    assert content.kind == "image"
    assert await room.uploads.chatkit_save_generated_image(b"no image", room.context) is None


async def test_url_leads_to_the_file_and_preview_url_to_its_preview(room: Room) -> None:
    urls, owner = room.uploads.urls, room.context.user_id
    image = b'{"type":"generated_image","image":{"url":"attachment:atc_1"}}'
    sent = b'{"type":"user_message","attachments":[{"type":"image","preview_url":"%b"}]}'
    sent %= b"attachment:atc_1"
    shown_image = urls.show(image, PUBLIC_URL, owner)
    shown = urls.show(sent, PUBLIC_URL, owner)
    url = json.loads(shown_image)["image"]["url"]
    preview_url = json.loads(shown)["attachments"][0]["preview_url"]
    assert url.startswith(f"{PUBLIC_URL}/api/files/")
    assert preview_url.startswith(f"{PUBLIC_URL}/api/previews/")
    assert {urls.find_attachment_id(each) for each in (url, preview_url)} == {"atc_1"}
    assert urls.hide(shown, owner) == sent
    assert urls.hide(shown_image, owner) == image
    assert urls.hide(shown, "somebody else") == shown
    # What was made when generated images led to their previews.
    before = shown_image.replace(url.encode(), preview_url.encode())
    assert urls.hide(before, owner) == image
    # A token for one purpose is none for the other.
    mixed = shown_image.replace(b"/api/files/", b"/api/previews/")
    assert b"/api/previews/" in urls.hide(mixed, owner)


async def test_links_are_made_only_where_files_are_and_once_a_file(room: Room) -> None:
    urls, made = room.uploads.urls, []
    make = urls.make

    def count(*args: Any) -> str:
        made.append(args)
        return make(*args)

    urls.make = count  # type: ignore[method-assign]
    files = [{"type": "image", "preview_url": "attachment:atc_1"}] * 100
    data = [{"url": "attachment:atc_1", "preview_url": "attachment:atc_1"}] * 1000
    message = {"type": "user_message", "attachments": files, "content": [{"data": data}]}
    stored = json.dumps(message).encode()
    reader = urls.reader(PUBLIC_URL, room.context.user_id)
    shown = [json.loads(reader.show(stored)) for _ in range(10)]
    assert len(made) == 1
    assert {each["content"][0]["data"][0]["url"] for each in shown} == {"attachment:atc_1"}
    assert len({each["preview_url"] for item in shown for each in item["attachments"]}) == 1
    for harmless in (b'{"type":"widget","url":"attachment:a"}', b'["attachment:a"]', b"1"):
        assert reader.show(harmless) == harmless
    assert len(made) == 1


async def test_generated_image_is_kept_whatever_users_may_attach(make_room: MakeRoom) -> None:
    room = make_room(types=("application/pdf",), user_bytes=100, file_bytes=100)
    url = await room.uploads.chatkit_save_generated_image(picture(), room.context)
    assert url is not None
    with pytest.raises(UnprocessableError, match="in all"):  # it counts all the same
        await room.uploads.receive(incoming("a.pdf", "", b"%PDF-1.7"), 8, room.context)


async def test_generated_image_stays_as_long_as_its_thread(room: Room) -> None:
    url = await room.uploads.chatkit_save_generated_image(picture(), room.context)
    forgotten = await room.uploads.chatkit_save_generated_image(picture(), room.context)
    assert url is not None
    assert forgotten is not None
    attachment_id = room.uploads.chatkit_find_attachment_id(url)
    thread = Thread(id=room.store.generate_thread_id(room.context), created_at=now(), items=Page())
    await room.store.save_thread(thread, room.context)
    item = GeneratedImageItem(
        id="img_1",
        thread_id=thread.id,
        created_at=now(),
        image=GeneratedImage(id="ig_1", url=url),
    )
    await room.store.add_thread_item(thread.id, item, room.context)
    await room.cleanup(keep=0).tidy()
    assert list(await room.states()) == [attachment_id]
    page = await room.store.chatkit_load_items_json(thread.id, None, 9, "asc", room.context)
    assert f'"url":"{PUBLIC_URL}/api/files/'.encode() in page
    await room.store.delete_thread(thread.id, room.context)
    await room.cleanup(keep=3600).tidy()
    assert room.stored() == []
