"""The application: what it is made of, wired together in one place."""

import gc
import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from agents import set_tracing_disabled
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app.api import chatkit, docs, files, health, pages, runs, server_api, sessions, uploads
from app.api.bounded_bodies import BoundedBodyMiddleware
from app.api.deps import Services
from app.api.openapi import describe_api
from app.api.streams import RUN_HEADER, OpenStreams
from app.assistant_loading import AssistantFactory, describe_server, load_assistant
from app.auth.hosted import create_hosted_sessions
from app.auth.identity import Identity, create_identity, load_signing_secret
from app.auth.server_keys import create_server_keys
from app.auth.sessions import ChatSessions
from app.chatkit.agents.warm_up import warm_up
from app.chatkit.context import RequestContext
from app.chatkit.server import ChatKitServer
from app.chatkit.server.limits import RequestLimits
from app.db.database import Database
from app.db.pool import create_pool
from app.db.store import PostgresStore
from app.errors import install_error_handlers
from app.observability import REQUEST_ID_HEADER, RequestMiddleware, configure_logging
from app.runs.registry import Runs
from app.runs.replica_repository import ReplicaRepository
from app.runs.repository import RunRepository
from app.runs.run import RunOptions
from app.settings import Settings, SettingsError, load_settings
from app.uploads.attachments import UploadStore
from app.uploads.cleanup import UploadCleanup
from app.uploads.file_urls import FileUrls
from app.uploads.limits import UploadLimits
from app.uploads.repository import AttachmentRepository
from app.uploads.storage import Storage, StorageUrlError

logger = logging.getLogger(__name__)

GC_THRESHOLD = 20_000
"""New objects between two looks of the garbage collector; Python's own is some 700 to 2,000."""


class State(TypedDict):
    """What the lifespan hands to every request."""

    services: Services


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application for ``settings`` (by default from the environment).

    ``DATABASE_URL`` must be set by then: the command line starts the embedded Postgres before it
    calls this. Raises ``SettingsError``.
    """
    settings = settings or load_settings()
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL: not set (python -m app serve can start an embedded one)")
    configure_logging(settings)
    # What is configured by name is loaded here, where a mistake can still be said in one line.
    storage = create_storage(settings)
    identity = create_identity(settings)
    assistant = load_assistant(settings)
    app = FastAPI(
        title="ChatKit backend",
        version=_get_version(),
        lifespan=_create_lifespan(settings, storage, identity, assistant),
        openapi_url="/openapi.json" if settings.serves_docs else None,
        docs_url=None,
        redoc_url=None,
    )
    install_error_handlers(app)
    app.add_middleware(
        BoundedBodyMiddleware,
        limit=settings.max_request_bytes,
        timeout=settings.request_body_timeout,
    )
    for module in (chatkit, sessions, runs, uploads, files, server_api, health):
        app.include_router(module.router)
    describe_api(app)
    if settings.serves_docs:
        docs.mount_docs(app)
    if settings.demo_page:
        pages.mount_pages(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials="*" not in settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=[RUN_HEADER, REQUEST_ID_HEADER, *files.EXPOSED_HEADERS, "Retry-After"],
        )
    app.add_middleware(RequestMiddleware, https_only=settings.is_production)
    return app


def _create_lifespan(
    settings: Settings, storage: Storage, identity: Identity, assistant: AssistantFactory
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
        pool = create_pool(settings)
        database = Database(pool)
        uploads = create_uploads(settings, database, storage)
        cleanup = UploadCleanup(
            AttachmentRepository(database),
            uploads,
            keep=settings.upload_keep,
            interval=settings.upload_cleanup_interval,
        )
        store = PostgresStore(
            database,
            uploads.urls,
            max_runs=settings.user_concurrent_runs,
            outage=settings.database_outage,
        )
        # The Agents SDK traces unless it is told not to, also in a server that is not ours.
        set_tracing_disabled(not settings.tracing)
        try:
            server = assistant.make(store, uploads, settings)
        except SettingsError as error:
            app.state.start_error = error
            await pool.close()
            raise
        app.state.server_name = describe_server(server)
        registry = _create_runs(settings, database)
        hosted = create_hosted_sessions(settings)
        registry.start_background_tasks()
        cleanup.start()
        app.state.runs = registry
        warm_up()
        # What lives from here to the end need not be looked at by the garbage collector again.
        gc.collect()
        gc.freeze()
        # The Agents SDK leaves cycles behind at every turn: collect them a few turns at a time.
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        try:
            yield State(
                services=Services(
                    settings=settings,
                    pool=pool,
                    database=database,
                    sessions=_create_sessions(settings, database),
                    identity=identity,
                    server=server,
                    runs=registry,
                    server_keys=create_server_keys(settings),
                    uploads=uploads,
                    cleanup=cleanup,
                    streams=OpenStreams(settings.user_streams),
                    limits=RequestLimits(message_chars=settings.message_max_chars),
                    hosted=hosted,
                )
            )
        finally:
            await registry.drain(settings.shutdown_drain)
            await registry.close()
            await cleanup.close()
            await close_server(server)
            if hosted is not None:
                await hosted.aclose()
            await pool.close()

    return lifespan


def create_storage(settings: Settings) -> Storage:
    """Return the place of files for ``settings``. Raises ``SettingsError``."""
    url = urlsplit(settings.storage)
    if not url.scheme or (url.scheme == "file" and url.netloc):
        folder = Path(url.netloc + url.path).absolute()
        raise SettingsError(f"STORAGE_URL: not the URL of a folder (write {folder.as_uri()})")
    try:
        return Storage(settings.storage)
    except StorageUrlError as error:
        name = "STORAGE_URL" if settings.storage_url else "DATA_DIR"
        raise SettingsError(f"{name}: {error}") from error


def create_uploads(
    settings: Settings, database: Database, storage: Storage | None = None
) -> UploadStore:
    """Return the store of files for ``settings``. Raises ``SettingsError``."""
    urls = FileUrls(
        load_signing_secret(settings),
        upload_ttl=settings.upload_url_ttl,
        view_ttl=settings.file_url_ttl,
    )
    limits = UploadLimits(
        file_bytes=settings.upload_max_bytes,
        files=settings.upload_max_files,
        user_bytes=settings.upload_user_bytes,
        types=tuple(settings.upload_types),
        url_ttl=settings.upload_url_ttl,
        idle_timeout=settings.upload_idle_timeout,
    )
    storage = storage or create_storage(settings)
    return UploadStore(AttachmentRepository(database), storage, urls, limits)


def _create_sessions(settings: Settings, database: Database) -> ChatSessions:
    return ChatSessions(
        database,
        session_requests=settings.session_requests_per_minute,
        user_requests=settings.user_requests_per_minute,
        refresh_grace=settings.session_refresh_grace,
    )


def _create_runs(settings: Settings, database: Database) -> Runs:
    return Runs(
        RunRepository(database),
        ReplicaRepository(database),
        RunOptions(
            thread_busy=settings.thread_busy,
            busy_wait=settings.thread_busy_wait,
            log_bytes=settings.run_log_bytes,
            outage=settings.database_outage,
        ),
        heartbeat=settings.run_heartbeat,
        takeover=settings.run_takeover,
        grace=settings.run_log_grace,
    )


async def close_server(server: ChatKitServer[RequestContext]) -> None:
    """Let a server close what it has opened, if it has a coroutine ``aclose`` for that."""
    close = getattr(server, "aclose", None)
    if not inspect.iscoroutinefunction(close) or inspect.signature(close).parameters:
        return
    try:
        await close()
    except Exception:
        logger.exception("The assistant could not be closed")


def _get_version() -> str:
    try:
        return version("chatkit-backend")
    except PackageNotFoundError:
        return "0.1.0"
