"""What is known of a file: as it is stored for clients (without any URL that ages), and for us."""

from dataclasses import dataclass

from pydantic import AnyUrl

from app.chatkit.protocol.items import Attachment, FileAttachment, ImageAttachment
from app.uploads.file_urls import SCHEME
from app.uploads.limits import UploadLimits
from app.uploads.previews import is_image
from app.uploads.sniffing import check_declared


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A finished file: its name as data, where its bytes are, what they are.

    ``digest`` is the SHA-256 of the bytes.
    """

    name: str
    key: str
    mime_type: str
    size: int
    preview_type: str | None
    digest: str


def describe(attachment_id: str, name: str, mime_type: str) -> Attachment:
    """Return the attachment that stands for a file of that type."""
    if is_image(mime_type):
        return ImageAttachment(
            id=attachment_id,
            name=name,
            mime_type=mime_type,
            preview_url=AnyUrl(f"{SCHEME}:{attachment_id}"),
        )
    return FileAttachment(id=attachment_id, name=name, mime_type=mime_type)


def load_attachment(data: str) -> Attachment:
    """Return the attachment that was stored as ``data``."""
    if '"preview_url"' in data:
        return ImageAttachment.model_validate_json(data)
    return FileAttachment.model_validate_json(data)


class FileTypeCheck:
    """What a file turns out to be; without ``limits`` any type will do."""

    def __init__(self, attachment: Attachment, limits: UploadLimits | None) -> None:
        self._attachment = attachment
        self._limits = limits
        self.mime_type = attachment.mime_type

    def look(self, head: bytes) -> None:
        """Look at a file's first bytes; raises ``UnprocessableError`` where they are not taken."""
        self.mime_type = check_declared(self._attachment.mime_type, self._attachment.name, head)
        if self._limits is not None:
            self._limits.check_type(self.mime_type)
