"""Where the bytes of files are: a directory, or an object store (S3 and compatible, GCS, Azure).

One library, ``obstore``, speaks to all of them. Keys are made here, never from what a client sent.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import AzureStore, LocalStore, from_url

PART_SIZE = 5 * 1024 * 1024
"""Bytes of one part of an upload to an object store: the least that S3 takes."""
PARTS_AT_ONCE = 2
READ_SIZE = 256 * 1024

_store_api: Any = obstore


class StorageUrlError(ValueError):
    """``STORAGE_URL`` cannot be used; the message says why in one line."""


class Storage:
    """Keeps files by key. ``url`` is that of a directory (``file:``) or of an object store.

    Credentials and further options of object stores come from their usual variables of the
    environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``,
    ``AZURE_STORAGE_ACCOUNT_NAME`` …). Raises ``StorageUrlError``.
    """

    def __init__(self, url: str) -> None:
        self._directory: Path | None = None
        if urlsplit(url).scheme == "file":
            self._directory = Path(unquote(urlsplit(url).path))
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise StorageUrlError(f"{self._directory}: {error.strerror}") from error
            self._store: Any = LocalStore(prefix=str(self._directory), automatic_cleanup=True)
            return
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        plain = {"allow_http": True} if endpoint.startswith("http://") else {}
        try:
            self._store = from_url(url, client_options=cast("Any", plain))
        except Exception as error:  # the library has no common base for what it refuses
            raise StorageUrlError(str(error).splitlines()[0]) from None

    @property
    def presigns(self) -> bool:
        """Whether clients can send bytes here without us."""
        return self._directory is None

    @property
    def put_headers(self) -> dict[str, str]:
        """What a PUT to a presigned URL must say besides."""
        return {"x-ms-blob-type": "BlockBlob"} if isinstance(self._store, AzureStore) else {}

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Write a file as its chunks arrive. Where ``chunks`` raises, nothing is left."""
        await _store_api.put_async(
            self._store, key, chunks, chunk_size=PART_SIZE, max_concurrency=PARTS_AT_ONCE
        )

    async def read(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes from ``start`` up to ``end``; raises ``FileNotFoundError``."""
        options: dict[str, Any] = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        found = await _store_api.get_async(self._store, key, options=options)
        async for chunk in found.stream(min_chunk_size=READ_SIZE):
            yield bytes(chunk)

    async def head(self, key: str) -> int | None:
        """Return a file's size in bytes, or None if there is no such file."""
        try:
            found: dict[str, Any] = await _store_api.head_async(self._store, key)
        except FileNotFoundError:
            return None
        return int(found["size"])

    async def copy(self, key: str, to: str) -> None:
        """Copy a file; raises ``FileNotFoundError``."""
        await _store_api.copy_async(self._store, key, to)

    async def delete(self, *keys: str) -> None:
        """Delete files, and what an interrupted write of them has left; missing ones are fine."""
        for key in keys:
            with suppress(FileNotFoundError):
                await _store_api.delete_async(self._store, key)
            if self._directory is not None:
                await asyncio.to_thread(_delete_unfinished, self._directory / key)

    async def delete_folder(self, folder: str) -> None:
        """Delete everything below a folder, finished or not; a missing one is fine."""
        if self._directory is not None:
            await asyncio.to_thread(_delete_directory, self._directory / folder)
            return
        async for found in _store_api.list(self._store, prefix=folder + "/"):
            await self.delete(*[each["path"] for each in found])

    async def sweep(self, prefix: str, seconds: float) -> int:
        """Delete the files below a prefix that are older than that; return how many there were."""
        limit = datetime.now(UTC) - timedelta(seconds=seconds)
        removed = 0
        async for found in _store_api.list(self._store, prefix=prefix):
            old = [each["path"] for each in found if each["last_modified"] < limit]
            await self.delete(*old)
            removed += len(old)
        return removed

    async def presign_put(self, key: str, seconds: float) -> str:
        """Return a URL that takes a PUT of the file for that long. Only where ``presigns``."""
        lifetime = timedelta(seconds=seconds)
        return str(await _store_api.sign_async(self._store, "PUT", key, lifetime))

    @asynccontextmanager
    async def as_file(self, key: str) -> AsyncGenerator[Path]:
        """Give a file as a local one, to be read only."""
        if self._directory is not None:
            yield self._directory / key
            return
        with tempfile.NamedTemporaryFile() as copy:
            async for chunk in self.read(key):
                copy.write(chunk)
            copy.flush()
            yield Path(copy.name)


def _delete_directory(path: Path) -> None:
    # Somebody may be writing to it, or deleting it as well.
    for _ in range(10):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            break
    else:
        shutil.rmtree(path)
    with suppress(OSError):  # the owner has other files
        path.parent.rmdir()


def _delete_unfinished(path: Path) -> None:
    # The library writes to ``<name>#<number>`` until a file is complete.
    for each in path.parent.glob(f"{path.name}#*"):
        each.unlink(missing_ok=True)
