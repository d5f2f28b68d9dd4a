"""``CheckedBytes``: whatever the length, nothing passes that was not looked at."""

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import pytest

from app.chatkit.errors import UnprocessableError
from app.errors import PayloadTooLargeError
from app.uploads.receiving import HEAD_BYTES, CheckedBytes, EmptyFileError

LIMIT = 4 * HEAD_BYTES


async def chunks_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Looks:
    """A check that notes what it was shown, and refuses what begins with ``bad``."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, head: bytes) -> None:
        self.heads.append(head)
        if head.startswith(b"bad"):
            raise UnprocessableError("not what it seems")


SIZES = [1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 3 * HEAD_BYTES, LIMIT]


@pytest.mark.parametrize("step", [7, 4096, HEAD_BYTES, 10 * HEAD_BYTES])
@pytest.mark.parametrize("size", SIZES)
async def test_every_file_is_looked_at_once_before_a_byte_of_it_passes(
    size: int, step: int
) -> None:
    if size // step > 10_000:
        step = 512
    data = b"x" * size
    looks = Looks()
    checked = CheckedBytes(chunks_of(data, step), limit=LIMIT, check=looks, expected=None)
    passed: list[bytes] = []
    async for chunk in checked.stream():
        assert looks.heads
        passed.append(chunk)
    assert b"".join(passed) == data
    (head,) = looks.heads
    assert data.startswith(head)
    assert len(head) >= min(size, HEAD_BYTES)
    assert (checked.size, checked.digest) == (size, sha256(data).hexdigest())


@pytest.mark.parametrize("size", SIZES[1:])
async def test_nothing_of_a_refused_file_passes(size: int) -> None:
    data = b"bad".ljust(size, b"x")
    checked = CheckedBytes(chunks_of(data, 4096), limit=LIMIT, check=Looks(), expected=None)
    with pytest.raises(UnprocessableError):
        async for _ in checked.stream():
            pytest.fail("a byte has passed")
    assert isinstance(checked.error, UnprocessableError)


@pytest.mark.parametrize(
    ("size", "expected", "error"),
    [
        (0, None, EmptyFileError),
        (LIMIT + 1, None, PayloadTooLargeError),
        (10, 9, UnprocessableError),
        (10, 11, UnprocessableError),
        (HEAD_BYTES + 1, HEAD_BYTES, UnprocessableError),
    ],
)
async def test_wrong_size_is_refused(size: int, expected: int | None, error: type) -> None:
    pieces: Sequence[bytes] = [b"x" * size] if size else []

    async def give() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    checked = CheckedBytes(give(), limit=LIMIT, check=Looks(), expected=expected)
    with pytest.raises(error):
        async for _ in checked.stream():
            pass
