"""The files of a thread as the model gets them: read once per run, within a budget.

The newest come first, since a conversation is about those. What is not read (gone, of a kind that
models do not know, over the budget) is named to the model, so that it can say so.
"""

import asyncio
import base64
import logging
from collections.abc import Iterable

from openai.types.responses import (
    ResponseInputContentParam,
    ResponseInputFileParam,
    ResponseInputImageParam,
)

from app.chatkit.agents.fences import fence
from app.chatkit.agents.item_converter import MAX_NAME_LENGTH, json_text, shorten, text_part
from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import Attachment, GeneratedImageItem, ThreadItem, UserMessageItem
from app.chatkit.store import AttachmentContent, AttachmentStore
from app.providers.models import FileKind

MAX_FILES = 20
"""Files that are read for one answer; older ones are only named."""
MAX_FILE_BYTES = 10 * 1024 * 1024
"""Of one image or PDF, as it goes to the model."""
MAX_TEXT_BYTES = 200_000
"""Of one text file: some 50,000 tokens. What is longer is cut, and the model is told."""
MAX_TOTAL_BYTES = 24 * 1024 * 1024
"""Of all files in one request; they grow by a third on their way, and providers take some 50 MB."""
READERS = 4
"""Files that are read at a time."""

logger = logging.getLogger(__name__)


class ThreadFiles:
    """The files of one thread for one run. ``kinds`` are those that the model can be given."""

    def __init__(
        self,
        store: AttachmentStore[RequestContext] | None,
        context: RequestContext,
        kinds: frozenset[FileKind],
    ) -> None:
        self._store = store
        self._context = context
        self._kinds = kinds
        self._contents: dict[str, AttachmentContent | None] = {}

    async def read(self, history: Iterable[ThreadItem]) -> None:
        """Read the files that ``history`` (oldest first) names and that were not read before."""
        store = self._store
        if store is None:
            return
        wanted = [each for each in reversed(self._find(history)) if each not in self._contents]
        budget = MAX_TOTAL_BYTES - sum(len(each.data) for each in self._contents.values() if each)
        for start in range(0, min(len(wanted), MAX_FILES), READERS):
            batch = wanted[start : min(start + READERS, MAX_FILES)]
            found = await asyncio.gather(*(self._load(store, each) for each in batch))
            for attachment_id, content in zip(batch, found, strict=True):
                fits = content is not None and len(content.data) <= budget
                budget -= len(content.data) if content is not None and fits else 0
                self._contents[attachment_id] = content if fits else None

    def to_part(self, attachment: Attachment) -> ResponseInputContentParam | None:
        """Return the part that shows the model a file's content, or None where it gets none."""
        content = self._contents.get(attachment.id)
        return None if content is None else _to_part(attachment, content)

    def to_generated_part(self, url: str) -> ResponseInputContentParam | None:
        """Return the part that shows the model an image that was generated before."""
        attachment_id = self._store.chatkit_find_attachment_id(url) if self._store else None
        content = self._contents.get(attachment_id) if attachment_id else None
        return None if content is None else _image_part(content)

    def is_own(self, url: str) -> bool:
        """Return whether a URL leads to a file of the store, which providers need not reach."""
        return self._store is not None and self._store.chatkit_find_attachment_id(url) is not None

    def _find(self, history: Iterable[ThreadItem]) -> list[str]:
        found: dict[str, None] = {}
        for item in history:
            if isinstance(item, UserMessageItem):
                found.update((each.id, None) for each in item.attachments)
            elif isinstance(item, GeneratedImageItem) and item.image and self._store:
                attachment_id = self._store.chatkit_find_attachment_id(item.image.url)
                found.update({attachment_id: None} if attachment_id else {})
        return list(found)

    async def _load(
        self, store: AttachmentStore[RequestContext], attachment_id: str
    ) -> AttachmentContent | None:
        try:
            content = await store.chatkit_load_content(
                attachment_id,
                self._context,
                max_bytes=MAX_FILE_BYTES,
                max_text_bytes=MAX_TEXT_BYTES,
            )
        except Exception:
            # Whatever is wrong with one file, the thread must stay answerable.
            logger.exception("File not read", extra={"attachment_id": attachment_id})
            return None
        return content if content is not None and content.kind in self._kinds else None


def _to_part(attachment: Attachment, content: AttachmentContent) -> ResponseInputContentParam:
    match content.kind:
        case "image":
            return _image_part(content)
        case "pdf":
            name = _file_name(attachment, ".pdf")
            return ResponseInputFileParam(
                type="input_file", filename=name, file_data=_data_url(content)
            )
        case "text":
            return _text_part(attachment, content)


def _file_name(attachment: Attachment, ending: str) -> str:
    """Return a name that providers take: in one line, and with the ending of its type."""
    stem = "".join(each if each.isprintable() else " " for each in attachment.name)
    stem = shorten(stem.removesuffix(ending), MAX_NAME_LENGTH)
    return f"{stem or 'file'}{ending}"


def _text_part(attachment: Attachment, content: AttachmentContent) -> ResponseInputContentParam:
    name = json_text(shorten(attachment.name, MAX_NAME_LENGTH))
    kind = json_text(shorten(content.mime_type, MAX_NAME_LENGTH))
    which = "the beginning of its content" if content.is_cut else "its content"
    text = fence("File", content.data.decode(errors="replace"))
    return text_part(f"The user attached the file {name} (type {kind}); {which}:\n{text}")


def _image_part(content: AttachmentContent) -> ResponseInputContentParam:
    return ResponseInputImageParam(type="input_image", detail="auto", image_url=_data_url(content))


def _data_url(content: AttachmentContent) -> str:
    return f"data:{content.mime_type};base64,{base64.b64encode(content.data).decode()}"
