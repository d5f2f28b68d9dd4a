"""An attachment store in memory that has the content of files ready, for tests of the assistant."""

from dataclasses import dataclass, field

from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import Attachment, FileAttachment
from app.chatkit.store import AttachmentContent, AttachmentStore

URL = "https://files.example/"


@dataclass
class MemoryAttachments(AttachmentStore[RequestContext]):
    """``contents`` by attachment id; an exception there is raised. ``loaded`` is what was read."""

    contents: dict[str, AttachmentContent | Exception] = field(default_factory=dict)
    images: list[bytes] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        del self.contents[attachment_id]

    async def chatkit_load_content(
        self, attachment_id: str, context: RequestContext, *, max_bytes: int, max_text_bytes: int
    ) -> AttachmentContent | None:
        self.loaded.append(attachment_id)
        content = self.contents.get(attachment_id)
        if isinstance(content, Exception):
            raise content
        return content

    async def chatkit_save_generated_image(
        self, data: bytes, context: RequestContext
    ) -> str | None:
        self.images.append(data)
        self.contents[f"atc_{len(self.images)}"] = AttachmentContent("image", "image/png", data)
        return f"{URL}atc_{len(self.images)}?signature=fresh"

    def chatkit_find_attachment_id(self, url: str) -> str | None:
        return url.removeprefix(URL).partition("?")[0] if url.startswith(URL) else None


def attached(attachment_id: str, name: str, mime_type: str) -> Attachment:
    """Return an attachment as it stands in a message."""
    return FileAttachment(id=attachment_id, name=name, mime_type=mime_type)


def text(content: str, *, is_cut: bool = False) -> AttachmentContent:
    """Return what a text file holds."""
    return AttachmentContent("text", "text/plain", content.encode(), is_cut=is_cut)
