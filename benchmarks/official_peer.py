"""The official SDK as its documentation wires it: FastAPI, ``StreamingResponse``, a Postgres store.

python -m benchmarks.official_peer <port> <database url>
"""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from agents import RunConfig, Runner
from chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.types import ThreadMetadata, ThreadStreamEvent, UserMessageItem
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.answer import HISTORY_ITEMS
from benchmarks.official_store import Base, Context, OfficialStore
from benchmarks.scripted import create_agent, read_pace

BACKLOG = 2048
POOL_SIZE = 20
MAX_OVERFLOW = 0
"""Pool and backlog as in the other peer."""


class OfficialServer(ChatKitServer[Context]):
    """Answers every message with the scripted agent."""

    def __init__(self, store: OfficialStore) -> None:
        super().__init__(store)
        self._agent = create_agent(read_pace())

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: Context,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the agent's answer to the newest items of the thread."""
        page = await self.store.load_thread_items(
            thread.id, after=None, limit=HISTORY_ITEMS, order="desc", context=context
        )
        input_items = await simple_to_agent_input(list(reversed(page.data)))
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        result = Runner.run_streamed(
            self._agent,
            input_items,
            context=agent_context,
            run_config=RunConfig(tracing_disabled=True),
        )
        async for event in stream_agent_response(agent_context, result):
            yield event


def create_app(database_url: str) -> FastAPI:
    """Return the application."""
    engine = create_async_engine(database_url, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW)
    server = OfficialServer(OfficialStore(engine))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/chatkit")
    async def chatkit(request: Request) -> Response:
        context: Context = {"user_id": request.headers["x-user"]}
        result = await server.process(await request.body(), context)
        if isinstance(result, StreamingResult):
            return StreamingResponse(result, media_type="text/event-stream")
        return Response(content=result.json, media_type="application/json")

    return app


def main() -> None:
    """Serve until told to stop, under the same uvicorn settings as the other peer."""
    port, database_url = sys.argv[1:]
    uvicorn.run(
        create_app(database_url),
        host="127.0.0.1",
        port=int(port),
        backlog=BACKLOG,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
