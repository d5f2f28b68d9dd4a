"""A request's body as the bytes of one file: bounded, never held, and complete or an error."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import parse_options_header

from app.chatkit.errors import InvalidRequestError, UnprocessableError
from app.errors import PayloadTooLargeError
from app.uploads.sniffing import HEAD_BYTES

FIELD = "file"
MAX_NAME = 255
FALLBACK_NAME = "file"
MAX_REST = 64 * 1024
"""What may precede or follow the file in a multipart body, in bytes."""


class SlowUploadError(InvalidRequestError):
    """Nothing arrived for too long, or all of it took too long."""


class EmptyFileError(UnprocessableError):
    """A file without a byte."""


def too_large(limit: int) -> PayloadTooLargeError:
    """Return the error for a file of more bytes than that."""
    return PayloadTooLargeError(f"The file is larger than {limit} bytes")


def clean_name(name: str) -> str:
    """Return a file's name without folders and control characters; it is data, never a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(each for each in last if each.isprintable()).strip()
    return kept[:MAX_NAME] or FALLBACK_NAME


async def read_body(
    chunks: AsyncIterator[bytes], *, idle: float, timeout: float
) -> AsyncGenerator[bytes, None]:
    """Yield what arrives.

    Raises ``SlowUploadError`` if nothing does for ``idle`` seconds, or if all of it takes longer
    than ``timeout`` seconds.
    """
    iterator = aiter(chunks)
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    too_slow = SlowUploadError(f"The file took longer than {timeout:g} seconds")
    while True:
        left = deadline - clock()
        if left <= 0:  # whoever takes the bytes may be the slow one, and the next is there already
            raise too_slow
        try:
            async with asyncio.timeout(min(idle, left)):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if clock() >= deadline:
                raise too_slow from None
            raise SlowUploadError(f"Nothing arrived for {idle:g} seconds") from None
        if chunk:
            yield chunk


@dataclass(slots=True)
class IncomingFile:
    """A file that is on its way: what the client says of it, and its bytes."""

    name: str
    mime_type: str
    chunks: AsyncIterator[bytes]


async def open_file(
    headers: Mapping[str, str], chunks: AsyncIterator[bytes], *, name: str = FALLBACK_NAME
) -> IncomingFile:
    """Return the file in a body: the part ``file`` of a multipart one, else all of it.

    Raises ``InvalidRequestError`` for a multipart body without that part.
    """
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        declared = kind.decode("latin-1") or "application/octet-stream"
        return IncomingFile(clean_name(name), declared, chunks)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequestError("Content-Type: the boundary is missing", field="Content-Type")
    try:
        part = _FilePart(boundary, chunks)
    except FormParserError as error:
        raise InvalidRequestError(f"Content-Type: {error}", field="Content-Type") from None
    return await part.open(name)


class _FilePart:
    """Finds the part of the file in a multipart body and hands out its bytes as they come."""

    def __init__(self, boundary: bytes, chunks: AsyncIterator[bytes]) -> None:
        self._source = aiter(chunks)
        self._ready: deque[bytes] = deque()
        self._header_name = self._header_value = b""
        self._part_headers: dict[bytes, bytes] = {}
        self._headers: dict[bytes, bytes] = {}
        self._is_file = False
        self._found = False
        self._is_complete = False
        self._fed = 0
        self._parser: Any = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_name,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
            },
        )

    async def open(self, name: str) -> IncomingFile:
        """Read up to the file's first bytes."""
        while not self._found:
            if not await self._feed():
                raise InvalidRequestError(f"The part {FIELD!r} is missing", field=FIELD)
            if not self._found and self._fed > MAX_REST:
                raise InvalidRequestError("Too much precedes the file", field=FIELD)
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        given = options.get(b"filename", b"").decode("utf-8", errors="replace")
        declared = self._headers.get(b"content-type", b"application/octet-stream")
        return IncomingFile(clean_name(given or name), declared.decode("latin-1"), self._read())

    async def _read(self) -> AsyncGenerator[bytes, None]:
        while True:
            while self._ready:
                yield self._ready.popleft()
            if self._is_complete:
                await self._read_to_end()
                return
            if not await self._feed():
                raise InvalidRequestError("The body ends in the middle of the file", field=FIELD)

    async def _read_to_end(self) -> None:
        """Make sure that nothing of importance follows the file."""
        before = self._fed
        while await self._feed():
            if self._fed - before > MAX_REST:
                raise InvalidRequestError("Too much follows the file", field=FIELD)

    async def _feed(self) -> bool:
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            return False
        self._fed += len(chunk)
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise InvalidRequestError(f"The multipart body is broken: {error}") from None
        return True

    def _begin_part(self) -> None:
        self._part_headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        _check_header(self._header_name)

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        _check_header(self._header_value)

    def _end_header(self) -> None:
        self._part_headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._part_headers.get(b"content-disposition", b""))
        is_file = options.get(b"name") == FIELD.encode()
        if is_file and self._found:
            raise InvalidRequestError("Send one file at a time", field=FIELD)
        self._is_file = is_file
        if is_file:
            self._found = True
            self._headers = self._part_headers

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._ready.append(data[start:end])

    def _end_part(self) -> None:
        if self._is_file:
            self._is_file = False
            self._is_complete = True


def _check_header(value: bytes) -> None:
    if len(value) > 8192:
        raise InvalidRequestError("A header of the multipart body is too long")


class CheckedBytes:
    """A file's bytes on their way to the storage: counted, hashed, and looked at first.

    ``check`` gets the first bytes before any goes on, and may refuse them. ``expected`` is the size
    that was announced.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        limit: int,
        check: Callable[[bytes], None],
        expected: int | None = None,
    ) -> None:
        self._chunks = chunks
        self._limit = limit
        self._check = check
        self._expected = expected
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: BaseException | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of what has passed."""
        return self._hash.hexdigest()

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes; what is wrong with them is raised, and kept as ``error``."""
        try:
            async for chunk in self._pass_on():
                yield chunk
        except BaseException as error:
            self.error = error
            raise

    async def _pass_on(self) -> AsyncGenerator[bytes, None]:
        head = b""
        is_checked = False
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise too_large(self._limit)
            self._hash.update(chunk)
            if is_checked:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD_BYTES:
                self._check(head)
                is_checked = True
                yield head
                head = b""
        if self.size == 0:
            raise EmptyFileError("The file is empty")
        if self._expected is not None and self.size != self._expected:
            raise UnprocessableError(
                f"The file has {self.size} bytes, not {self._expected} as announced"
            )
        if not is_checked:
            self._check(head)
            yield head
