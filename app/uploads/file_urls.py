"""URLs of ours that stand for a file and its owner, and how they are kept out of the database.

A URL carries an encrypted token (AES-SIV, which also proves that we made it): what it is for, whose
file it is, and until when. So an ``<img>`` needs no header, and nobody reads a user id in a link.
Equal inputs give equal URLs for a while, so that a browser can cache what they lead to.

What is stored never holds a URL that ages: ``hide`` puts ``attachment:<id>`` in its place, ``show``
a fresh URL of the reader's own: a ``preview_url`` leads to the preview, a ``url`` to the file. Both
work on the bytes of JSON, in which a quotation mark within a text is always escaped: no text can
pass for a field.
"""

import base64
import binascii
import hashlib
import json
import math
import re
import time
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from app.errors import ForbiddenError

Purpose = Literal["uploads", "files", "previews"]

SCHEME = "attachment"
_STORED = re.compile(rb'"(preview_url|url)":( ?)"attachment:([A-Za-z0-9_-]{1,128})"')
_SHOWN = re.compile(
    rb'"(preview_url|url)":( ?)"https?://[^"\\]{1,512}/api/(previews|files)/([\w-]{20,800})"'
)


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

        def replace(match: re.Match[bytes]) -> bytes:
            purpose = "files" if match[3] == b"files" else "previews"
            content = self._decrypt(purpose, match[4].decode())
            if content is None or content[0] != user_id:
                return match[0]
            return b'"%b":%b"attachment:%b"' % (match[1], match[2], content[1].encode())

        return _SHOWN.sub(replace, data)

    def show(self, data: bytes, public_url: str, user_id: str) -> bytes:
        """Return JSON with fresh URLs in place of ``attachment:<id>``.

        They are for the user's own files: an id of somebody else's leads to nothing.
        """
        if b'"attachment:' not in data or not public_url:
            return data

        def replace(match: re.Match[bytes]) -> bytes:
            purpose = "files" if match[1] == b"url" else "previews"
            url = self.make(purpose, public_url, user_id, match[3].decode())
            return b'"%b":%b"%b"' % (match[1], match[2], url.encode())

        return _STORED.sub(replace, data)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
