"""A straightforward Postgres store for the official SDK: one ORM session and commit a method."""

from datetime import datetime
from typing import Any

from chatkit.store import NotFoundError, Store
from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata
from pydantic import TypeAdapter
from sqlalchemy import Index, Select, delete, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Context = dict[str, Any]
"""What the route hands in: the ``user_id``."""

ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class Base(DeclarativeBase):
    """The tables of this store."""


class ThreadRow(Base):
    """A thread's metadata."""

    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)


class ItemRow(Base):
    """An item of a thread."""

    __tablename__ = "thread_items"
    __table_args__ = (Index("ix_thread_items_page", "thread_id", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    thread_id: Mapped[str]
    created_at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)


class AttachmentRow(Base):
    """An attachment's metadata."""

    __tablename__ = "attachments"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)


class OfficialStore(Store[Context]):
    """Keeps everything as JSONB, by id, for the user that the context names."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def load_thread(self, thread_id: str, context: Context) -> ThreadMetadata:
        """Return a thread."""
        row = await self._load(ThreadRow, thread_id, context)
        return ThreadMetadata.model_validate(row.data)

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        """Insert or update a thread."""
        await self._save(
            ThreadRow(
                id=thread.id,
                user_id=context["user_id"],
                created_at=thread.created_at,
                data=thread.model_dump(mode="json"),
            )
        )

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Context
    ) -> Page[ThreadMetadata]:
        """Return a page of threads."""
        query = select(ThreadRow).where(ThreadRow.user_id == context["user_id"])
        rows = await self._page(query, ThreadRow, limit, after, order)
        threads = [ThreadMetadata.model_validate(row.data) for row in rows]
        return _to_page(threads, limit)

    async def delete_thread(self, thread_id: str, context: Context) -> None:
        """Delete a thread and its items."""
        async with self._sessions() as session:
            owner = context["user_id"]
            await session.execute(
                delete(ItemRow).where(ItemRow.thread_id == thread_id, ItemRow.user_id == owner)
            )
            await session.execute(
                delete(ThreadRow).where(ThreadRow.id == thread_id, ThreadRow.user_id == owner)
            )
            await session.commit()

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        """Return a page of items."""
        query = select(ItemRow).where(
            ItemRow.thread_id == thread_id, ItemRow.user_id == context["user_id"]
        )
        rows = await self._page(query, ItemRow, limit, after, order)
        return _to_page([ITEM.validate_python(row.data) for row in rows], limit)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        """Return an item."""
        return ITEM.validate_python((await self._load(ItemRow, item_id, context)).data)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Insert an item."""
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Insert or update an item."""
        await self._save(
            ItemRow(
                id=item.id,
                user_id=context["user_id"],
                thread_id=thread_id,
                created_at=item.created_at,
                data=item.model_dump(mode="json"),
            )
        )

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        """Delete an item."""
        await self._delete(ItemRow, item_id, context)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        """Insert or update an attachment."""
        data = attachment.model_dump(mode="json")
        await self._save(AttachmentRow(id=attachment.id, user_id=context["user_id"], data=data))

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        """Return an attachment."""
        row = await self._load(AttachmentRow, attachment_id, context)
        return ATTACHMENT.validate_python(row.data)

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        """Delete an attachment."""
        await self._delete(AttachmentRow, attachment_id, context)

    async def _load(self, table: Any, id: str, context: Context) -> Any:
        async with self._sessions() as session:
            row = await session.get(table, id)
        if row is None or row.user_id != context["user_id"]:
            raise NotFoundError(id)
        return row

    async def _save(self, row: Base) -> None:
        async with self._sessions() as session:
            await session.merge(row)
            await session.commit()

    async def _delete(self, table: Any, id: str, context: Context) -> None:
        async with self._sessions() as session:
            await session.execute(
                delete(table).where(table.id == id, table.user_id == context["user_id"])
            )
            await session.commit()

    async def _page(
        self, query: Select[Any], table: Any, limit: int, after: str | None, order: str
    ) -> list[Any]:
        newest_first = order == "desc"
        place = table.created_at
        query = query.order_by(place.desc() if newest_first else place.asc()).limit(limit + 1)
        async with self._sessions() as session:
            if after:
                cursor = select(place).where(table.id == after).scalar_subquery()
                query = query.where(place < cursor if newest_first else place > cursor)
            return list((await session.scalars(query)).all())


def _to_page(found: list[Any], limit: int) -> Page[Any]:
    shown, has_more = found[:limit], len(found) > limit
    return Page(data=shown, has_more=has_more, after=shown[-1].id if has_more else None)
