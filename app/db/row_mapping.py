"""Between the models of the protocol and the rows that hold them."""

import json
from typing import Any, Protocol

from pydantic import TypeAdapter

from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    Attachment,
    ThreadItem,
    ThreadMetadata,
    ThreadStatus,
    UserMessageItem,
    is_hidden,
)
from app.chatkit.protocol.serialization import dump_value, dump_wire
from app.db.statements.attachments import AttachmentRow
from app.db.statements.items import ItemRow, NewItem
from app.db.statements.threads import ThreadRow

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)


class FileLinkReader(Protocol):
    """Puts fresh links into stored JSON."""

    def show(self, data: bytes) -> bytes:
        """Return stored JSON with fresh links."""
        ...


class FileLinks(Protocol):
    """Keeps links that age out of what is stored; ``app.uploads.file_urls.FileUrls`` does."""

    def hide(self, data: bytes, user_id: str) -> bytes:
        """Return JSON to store."""
        ...

    def reader(self, public_url: str, user_id: str) -> FileLinkReader:
        """Return what puts fresh links into stored JSON, for one answer to one user."""
        ...

    def find_attachment_id(self, url: str) -> str | None:
        """Return the id of the file that a link leads to."""
        ...


class RowMapping:
    """Turns items and attachments into rows and back, with their links as ``links`` keeps them."""

    def __init__(self, links: FileLinks | None) -> None:
        self._links = links

    def hide(self, data: bytes, context: RequestContext) -> str:
        """Return JSON to store, without links that age."""
        return (self._links.hide(data, context.user_id) if self._links else data).decode()

    def reader(self, context: RequestContext) -> FileLinkReader | None:
        """Return what puts fresh links into the items of one answer."""
        if self._links is None:
            return None
        return self._links.reader(context.public_url, context.user_id)

    def to_new_item(self, item: ThreadItem, context: RequestContext) -> NewItem:
        """Return an item as it is stored."""
        private = None
        if isinstance(item, UserMessageItem):
            kept = {
                each.id: each.metadata for each in item.attachments if each.metadata is not None
            }
            private = to_json(kept) if kept else None
        # The content of a hidden item may be null, and no client sees it.
        data = self.hide(dump_wire(item, exclude_none=not is_hidden(item)), context)
        return NewItem(item.id, item.type, is_hidden(item), data, private, item.created_at)

    def to_item(self, row: ItemRow, reader: FileLinkReader | None) -> ThreadItem:
        """Return a stored item."""
        item = _ITEM.validate_json(show(row.data, reader))
        if row.private is not None and isinstance(item, UserMessageItem):
            kept = json.loads(row.private)
            for attachment in item.attachments:
                attachment.metadata = kept.get(attachment.id)
        return item

    def to_attachment(self, row: AttachmentRow, reader: FileLinkReader | None) -> Attachment:
        """Return a stored attachment."""
        attachment = _ATTACHMENT.validate_json(show(row.data, reader))
        if row.private is not None:
            attachment.metadata = json.loads(row.private)
        return attachment

    def to_attachment_row(self, attachment: Attachment, context: RequestContext) -> AttachmentRow:
        """Return an attachment as it is stored."""
        data = self.hide(dump_wire(attachment), context)
        return AttachmentRow(attachment.id, data, to_json(attachment.metadata))


def show(data: str, reader: FileLinkReader | None) -> bytes:
    """Return stored JSON with fresh links."""
    stored = data.encode()
    return stored if reader is None else reader.show(stored)


def to_json(value: Any) -> str | None:
    """Return JSON text for a JSONB parameter, cleaned of what JSONB cannot hold."""
    return None if value is None else dump_value(value).decode()


def to_thread_row(thread: ThreadMetadata) -> ThreadRow:
    """Return a thread as it is stored."""
    return ThreadRow(
        thread.id,
        thread.title,
        dump_wire(thread.status).decode(),
        to_json(thread.allowed_image_domains),
        dump_value(thread.metadata or {}).decode(),
        thread.created_at,
    )


def to_thread(row: ThreadRow) -> ThreadMetadata:
    """Return a stored thread."""
    domains = row.allowed_image_domains
    return ThreadMetadata(
        id=row.id,
        title=row.title,
        status=_STATUS.validate_json(row.status),
        allowed_image_domains=None if domains is None else json.loads(domains),
        metadata=json.loads(row.metadata),
        created_at=row.created_at,
    )
