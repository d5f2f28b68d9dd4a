"""Serving: from settings to a listening server, and back to nothing when it ends."""

import asyncio
import errno
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from app.connections import (
    ConnectionWatch,
    WatchedConnection,
    bound_kernel_buffers,
    create_limits,
)
from app.db.embedded import provide_database
from app.db.migrate import upgrade
from app.db.pool import create_pool
from app.db.readiness import check_database
from app.main import create_app
from app.settings import Settings

BACKLOG = 2048
# Seconds that streams get after the runs were drained, to send their last frames.
GRACE_AFTER_DRAIN = 5


class StartError(Exception):
    """The server cannot start; the message says in one line why and what to do."""


def serve(settings: Settings) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises ``StartError``, ``EmbeddedPostgresError``, ``MigrationError``, ``DatabaseUrlError`` or
    ``SettingsError`` if it cannot start.
    """
    # Bound before anything is started, and listening only when everything is ready.
    with bind(settings.host, settings.port) as listener, provide_database(settings) as complete:
        try:
            asyncio.run(_prepare_database(complete, embedded=settings.uses_embedded_database))
            app = create_app(complete)
            _serve(app, settings, complete, listener)
        finally:
            # A second Ctrl-C must not interrupt the stop of the embedded Postgres.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _serve(app: FastAPI, given: Settings, complete: Settings, listener: socket.socket) -> None:
    """Run the application; raises ``SettingsError`` for what keeps it from starting."""
    app.state.start_error = None
    # What keeps the application from starting is said once, in our own words.
    startup_log = logging.getLogger("uvicorn.error")
    startup_log.addFilter(is_unexplained := lambda _: app.state.start_error is None)
    server = _Server(app, complete, lambda: _banner(given, listener, app.state.server_name))
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if app.state.start_error is not None:
            raise app.state.start_error from None
        raise
    finally:
        startup_log.removeFilter(is_unexplained)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, not listening yet; raises ``StartError``."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(f"HOST {host!r} is no address of this machine: {error}") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would allow to take over a port that is in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(_explain_bind(error, host, port)) from error
    return listener


def _explain_bind(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is already in use (stop what uses it, or set PORT)"
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this user (set PORT to 1024 or more)"
    return f"cannot listen on {host}:{port}: {error.strerror} (set HOST and PORT)"


async def _prepare_database(settings: Settings, *, embedded: bool) -> None:
    """Migrate the database, or make sure that it was; and that the application can work with it."""
    if embedded or settings.migrates_at_start:
        await upgrade(settings)
    pool = create_pool(settings)
    try:
        check = await check_database(pool)
    finally:
        await pool.close()
    if check.state != "ok":
        raise StartError(check.message)


def _banner(settings: Settings, listener: socket.socket, server_name: str) -> str:
    """Return what a person should know: the address, who answers, what is for development only."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- that is what is compared with
        host = "localhost"
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = ["", f"  ChatKit backend on {address}"]
    lines.append(f"  Assistant: {server_name}")
    lines.append(f"  Model: {_describe_model(settings)}")
    if settings.uses_embedded_database:
        lines.append(f"  Database: embedded Postgres in {settings.data_dir / 'postgres'}")
    if not settings.is_production and (problems := settings.unsafe_in_production()):
        lines.append("  For development only:")
        lines += [f"    - {problem}" for problem in problems]
    return "\n".join([*lines, "", ""])


def _describe_model(settings: Settings) -> str:
    if settings.uses_offline_model and not settings.uses_builtin_assistant:
        return "whatever the assistant brings (no model key found)"
    if settings.uses_offline_model:
        return "offline (no model key found; set OPENAI_API_KEY for a real one)"
    place = f" at {settings.openai_base_url}" if settings.openai_base_url else ""
    key = "key found" if settings.openai_api_key else "no key"
    return f"{settings.assistant_model or 'default'}{place} ({key})"


class _Server(uvicorn.Server):
    """Uvicorn, which says when it is ready and lets runs finish while it shuts down."""

    def __init__(self, app: FastAPI, settings: Settings, create_banner: Callable[[], str]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                backlog=BACKLOG,
                log_config=None,
                log_level="warning",  # the banner says it all
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http=WatchedConnection,
                ws="none",
                timeout_keep_alive=settings.keep_alive,
                timeout_graceful_shutdown=math.ceil(settings.shutdown_drain) + GRACE_AFTER_DRAIN,
            )
        )
        self._app = app
        self._settings = settings
        self._create_banner = create_banner
        self._limits = create_limits(settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        for listener in sockets or []:
            bound_kernel_buffers(listener, self._limits)
        await super().startup(sockets)
        self._watch = ConnectionWatch(self.server_state.connections, self._limits)
        self._watch.start()
        if self.started:
            sys.stdout.write(self._create_banner())
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; uvicorn waits for the streams, which end when their runs do."""
        draining = asyncio.create_task(self._app.state.runs.drain(self._settings.shutdown_drain))
        await super().shutdown(sockets)
        await draining
        await self._watch.close()
