"""URLs of ours that stand for a file and its owner, and how they are kept out of the database.

A URL carries an encrypted token (AES-SIV, which also proves that we made it): what it is for, whose
file it is, and until when. So an ``<img>`` needs no header, and nobody reads a user id in a link.
Equal inputs give equal URLs for a while, so that a browser can cache what they lead to.

What is stored never holds a URL that ages: ``hide`` puts ``attachment:<id>`` in its place, ``show``
a fresh URL of the reader's own. Both look at the fields that lead to files, and at no others: the
``preview_url`` of an image that was attached, the ``url`` of an image that was generated.
"""

import base64
import binascii
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic_core import from_json, to_json

from app.errors import ForbiddenError

Purpose = Literal["uploads", "files", "previews"]

SCHEME = "attachment"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class FileToken:
    """Whose file a URL leads to."""

    user_id: str
    attachment_id: str


class FileUrls:
    """Makes and checks URLs; lifetimes in seconds."""

    def __init__(self, secret: bytes, *, upload_ttl: float, view_ttl: float) -> None:
        self._cipher = AESSIV(hashlib.sha512(b"file urls\0" + secret).digest())
        self._lifetimes = {"uploads": upload_ttl, "files": view_ttl, "previews": view_ttl}

    def make(self, purpose: Purpose, public_url: str, user_id: str, attachment_id: str) -> str:
        """Return a URL for a user's file, good for at least its lifetime."""
        lifetime = self._lifetimes[purpose]
        # Rounded up, so that it stays the same for a while.
        step = max(lifetime / 2, 1)
        expires = math.ceil((time.time() + lifetime) / step) * step
        content = json.dumps([user_id, attachment_id, int(expires)]).encode()
        token = self._cipher.encrypt(content, [purpose.encode()])
        return f"{public_url}/api/{purpose}/{_encode(token)}"

    def read(self, purpose: Purpose, token: str, *, at: float | None = None) -> FileToken:
        """Return what a token stands for; raises ``ForbiddenError`` if it is forged or too old.

        ``at`` is the time to go by; by default it is now.
        """
        content = self._decrypt(purpose, token)
        if content is None:
            raise ForbiddenError("This link is not valid")
        user_id, attachment_id, expires = content
        if (time.time() if at is None else at) > expires:
            raise ForbiddenError("This link has expired; ask for a new one")
        return FileToken(user_id, attachment_id)

    def find_attachment_id(self, url: str) -> str | None:
        """Return the id of the file that a URL of ours leads to or shows, however old it is."""
        token = url.rpartition("/")[2]
        content = self._decrypt("files", token) or self._decrypt("previews", token)
        return None if content is None else content[1]

    def _decrypt(self, purpose: Purpose, token: str) -> tuple[str, str, float] | None:
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            if _encode(data) != token:  # another spelling of the same bytes
                return None
            content: Any = json.loads(self._cipher.decrypt(data, [purpose.encode()]))
        except (binascii.Error, InvalidTag, ValueError):
            return None
        return content[0], content[1], content[2]

    def hide(self, data: bytes, user_id: str) -> bytes:
        """Return JSON with ``attachment:<id>`` in place of URLs of the user's files."""
        if b"/api/previews/" not in data and b"/api/files/" not in data:
            return data

        def to_stored(url: str, _: Purpose) -> str | None:
            match url.rsplit("/", 3):
                case [_, "api", "files" | "previews" as purpose, token]:
                    content = self._decrypt(purpose, token)
                case _:
                    return None
            if content is None or content[0] != user_id:
                return None
            return f"{SCHEME}:{content[1]}"

        return _replace_links(data, to_stored)

    def reader(self, public_url: str, user_id: str) -> "LinkReader":
        """Return what puts fresh URLs into JSON for one answer to one user."""
        return LinkReader(self, public_url, user_id)

    def show(self, data: bytes, public_url: str, user_id: str) -> bytes:
        """Return JSON with fresh URLs in place of ``attachment:<id>``; see ``LinkReader``."""
        return self.reader(public_url, user_id).show(data)


class LinkReader:
    """Puts fresh URLs in the place of ``attachment:<id>``: each file's is made once.

    They are for the user's own files: an id of somebody else's leads to nothing.
    """

    def __init__(self, urls: FileUrls, public_url: str, user_id: str) -> None:
        self._urls = urls
        self._public_url = public_url
        self._user_id = user_id
        self._made: dict[tuple[str, Purpose], str] = {}

    def show(self, data: bytes) -> bytes:
        """Return JSON as the reader gets it."""
        if b'"attachment:' not in data or not self._public_url:
            return data
        return _replace_links(data, self._to_url)

    def _to_url(self, stored: str, purpose: Purpose) -> str | None:
        scheme, _, attachment_id = stored.partition(":")
        if scheme != SCHEME or not _ID.fullmatch(attachment_id):
            return None
        url = self._made.get((attachment_id, purpose))
        if url is None:
            url = self._urls.make(purpose, self._public_url, self._user_id, attachment_id)
            self._made[attachment_id, purpose] = url
        return url


def _replace_links(data: bytes, change: Callable[[str, Purpose], str | None]) -> bytes:
    """Return the JSON of an item or attachment with its links changed, where ``change`` does."""
    value: Any = from_json(data)
    has_changed = False
    for holder, name, purpose in _find_links(value):
        link: Any = holder.get(name)
        changed = change(link, purpose) if isinstance(link, str) else None
        if changed is not None:
            holder[name] = changed
            has_changed = True
    return to_json(value) if has_changed else data


def _find_links(value: Any) -> Iterator[tuple[dict[str, Any], str, Purpose]]:
    """Yield where the links to files of ours are, and what they are for.

    Nowhere else: what a page attaches to a mention, say, is data, whatever its fields are called.
    """
    if not isinstance(value, dict):
        return
    fields = cast("dict[str, Any]", value)
    match fields.get("type"):
        case "user_message":
            attachments = fields.get("attachments")
            for each in cast("list[Any]", attachments) if isinstance(attachments, list) else []:
                yield from _find_links(each)
        case "generated_image" if isinstance(fields.get("image"), dict):
            yield fields["image"], "url", "files"
        case "image":
            yield fields, "preview_url", "previews"
        case _:
            pass


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
