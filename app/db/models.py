"""The tables. Every primary key starts with the owner, so that no row can be had without one.

Timestamps are for people and cleanups; order within a thread and of threads is ``seq``. ``data``
columns hold the wire model exactly as a client gets it, so new optional protocol fields need no
migration; what is for the server only has a column of its own.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

EMPTY_OBJECT = text("'{}'::jsonb")


class Base(DeclarativeBase):
    """Declarative base with aware timestamps, JSONB objects and named constraints."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        str: Text,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        bytes: LargeBinary,
    }


class ThreadRecord(Base):
    """A conversation."""

    __tablename__ = "threads"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    title: Mapped[str | None]
    status: Mapped[dict[str, Any]] = mapped_column(server_default=text("""'{"type":"active"}'"""))
    allowed_image_domains: Mapped[list[str] | None] = mapped_column(JSONB)
    # "metadata" is taken on declarative classes.
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(None, "user_id", "seq"),
        # For the server API, which looks across owners.
        Index(None, "id"),
        Index(None, "seq"),
    )


class ThreadItemRecord(Base):
    """An item of a thread: the wire model, and its place."""

    __tablename__ = "thread_items"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    type: Mapped[str]
    hidden: Mapped[bool] = mapped_column(Boolean)
    data: Mapped[dict[str, Any]]
    private: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "thread_id"], ["threads.user_id", "threads.id"], ondelete="CASCADE"
        ),
        Index(None, "user_id", "thread_id", "seq"),
    )


class AttachmentRecord(Base):
    """A file: what the client sees of it, and where its bytes are."""

    __tablename__ = "attachments"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]
    private: Mapped[dict[str, Any] | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sniffed_type: Mapped[str | None]
    upload_state: Mapped[str] = mapped_column(server_default="pending")
    storage_key: Mapped[str | None]
    digest: Mapped[str | None]
    preview_type: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    touched_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(
            "upload_state IN ('pending', 'uploading', 'finished', 'deleted')", name="upload_state"
        ),
        Index(None, "user_id", "thread_id"),
        # For the cleanup, which looks across owners.
        Index(
            "ix_attachments_unsent_touched_at",
            "touched_at",
            postgresql_where=text("thread_id IS NULL OR upload_state = 'deleted'"),
        ),
    )


class RunRecord(Base):
    """One streamed answer, from its claim of the thread to its end."""

    __tablename__ = "runs"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="running")
    owner: Mapped[str]
    cancel_requested_at: Mapped[datetime | None]
    snapshot: Mapped[list[Any] | None] = mapped_column(JSONB)
    model: Mapped[str | None]
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    error_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "thread_id"], ["threads.user_id", "threads.id"], ondelete="CASCADE"
        ),
        CheckConstraint(
            "state IN ('running', 'completed', 'cancelled', 'failed', 'interrupted')",
            name="state",
        ),
        Index(
            "uq_runs_one_running_per_thread",
            "user_id",
            "thread_id",
            unique=True,
            postgresql_where=text("state = 'running'"),
        ),
        Index(
            "ix_runs_running_owner",
            "owner",
            postgresql_where=text("state = 'running'"),
        ),
        Index(None, "user_id", "thread_id"),
    )


class ReplicaRecord(Base):
    """A process that carries runs out; ``signals`` are the runs that it should look at."""

    __tablename__ = "replicas"

    id: Mapped[str] = mapped_column(primary_key=True)
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    signals: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))


class FeedbackRecord(Base):
    """A thumb up or down for an item."""

    __tablename__ = "feedback"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "thread_id", "item_id"],
            ["thread_items.user_id", "thread_items.thread_id", "thread_items.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("kind IN ('positive', 'negative')", name="kind"),
    )


class ChatSessionRecord(Base):
    """A minted session; of its secret only the hash is kept."""

    __tablename__ = "chat_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    secret_hash: Mapped[bytes]
    expires_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    limits: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    configuration: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("secret_hash"),
        Index(None, "user_id"),
        Index(None, "expires_at"),
    )


class RateCounterRecord(Base):
    """Requests within a minute: of a session (``scope`` is its id) or of the user (it is empty).

    Unlogged: counting a request must not wait for the disk, and a crash may forget the counts.
    """

    __tablename__ = "rate_counters"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(Integer)
    ends_at: Mapped[datetime]

    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - SQLAlchemy reads it
