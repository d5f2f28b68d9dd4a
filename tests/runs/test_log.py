"""The log of a run: order, ids, many readers, bounded memory."""

import asyncio

from app.runs.log import RunLog


def frame(number: int) -> bytes:
    return b"data: %d\n\n" % number


async def read_all(log: RunLog, after: int = 0) -> bytes:
    return b"".join([chunk async for chunk in log.read(after)])


async def test_reader_gets_everything_in_one_piece_when_it_comes_late() -> None:
    log = RunLog("run_1", max_bytes=1000)
    for number in range(3):
        log.append(frame(number))
    log.close()
    chunks = [chunk async for chunk in log.read()]
    assert chunks == [b"id: run_1:1\ndata: 0\n\nid: run_1:2\ndata: 1\n\nid: run_1:3\ndata: 2\n\n"]


async def test_reader_continues_without_gap_or_repeat_when_it_names_a_frame() -> None:
    log = RunLog("run_1", max_bytes=10_000)
    for number in range(10):
        log.append(frame(number))
    log.close()
    whole = await read_all(log)
    for after in range(11):
        tail = await read_all(log, after)
        assert tail == b"".join(
            b"id: run_1:%d\n%s" % (number + 1, frame(number)) for number in range(after, 10)
        )
        assert whole.endswith(tail)


async def test_every_reader_gets_every_frame_when_they_come_one_by_one() -> None:
    log = RunLog("run_1", max_bytes=10_000)
    readers = [asyncio.create_task(read_all(log)) for _ in range(5)]
    for number in range(20):
        log.append(frame(number))
        await asyncio.sleep(0)
    log.close()
    expected = b"".join(b"id: run_1:%d\n%s" % (n + 1, frame(n)) for n in range(20))
    assert await asyncio.gather(*readers) == [expected] * 5


async def test_memory_is_bounded_and_a_slow_reader_is_told_when_it_falls_behind() -> None:
    log = RunLog("run_1", max_bytes=500)
    reader = log.read()
    log.append(frame(0))
    assert await anext(reader) == b"id: run_1:1\ndata: 0\n\n"
    for number in range(1000):
        log.append(frame(number))
    rest = [chunk async for chunk in reader]
    assert len(rest) == 1
    assert b'"type":"error"' in rest[0]
    newest = await read_all_of_closed(log)
    assert len(newest) <= 500


async def read_all_of_closed(log: RunLog) -> bytes:
    log.close()
    oldest = log.last
    while True:
        tail = await read_all(log, oldest - 1)
        if b'"type":"error"' in tail or oldest == 0:
            return await read_all(log, oldest)
        oldest -= 1


async def test_waiting_reader_leaves_nothing_behind_when_it_is_cancelled() -> None:
    log = RunLog("run_1", max_bytes=500)
    reader = asyncio.create_task(read_all(log))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert not log._wakeup._waiting
    log.append(frame(0))
