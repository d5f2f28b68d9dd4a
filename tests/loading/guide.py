"""A server as older guides have it put together, in words of its own: a list of things to buy.

All of its names are those of the guides: see ``test_guide``.
"""

# ruff: noqa: DTZ005 - as the guides have it

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from agents import Agent, RunContextWrapper, Runner, StopAtTools, function_tool
from chatkit.agents import AgentContext, ClientToolCall, stream_agent_response, to_input_item
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import FileStore, NotFoundError, Store
from chatkit.types import (
    AssistantMessageItem,
    ClientToolCallOutputItem,
    Event,
    FilePart,
    HiddenContextItem,
    ImagePart,
    Page,
    ThreadItemDoneEvent,
    ThreadMetadata,
    UserMessageItem,
    WidgetItem,
)
from chatkit.widgets import ActionConfig, Button, Card, Form, Text
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse


@function_tool(description_override="Put something on the shopping list in the user's browser.")
async def put_on_list(ctx: RunContextWrapper[AgentContext], thing: str) -> None:
    ctx.context.client_tool_call = ClientToolCall(name="put_on_list", arguments={"thing": thing})


@function_tool(description_override="Show the shop.")
async def show_shop(ctx: RunContextWrapper[AgentContext]) -> str:
    card = Card(
        children=[
            Form(
                onSubmitAction=ActionConfig(type="order", payload={"shop": 7}),
                children=[Text(value="The corner shop"), Button(label="Order", type="submit")],
            )
        ]
    )
    await ctx.context.stream_widget(card)
    return "shown"


class ShoppingServer(ChatKitServer):
    shopper = Agent[AgentContext](
        model="a-model",
        name="Shopper",
        instructions="Help with shopping.",
        tools=[put_on_list, show_shop],
        tool_use_behavior=StopAtTools(stop_at_tool_names=[put_on_list.name]),
    )

    def __init__(self, data_store: Store, file_store: FileStore | None = None):
        super().__init__(data_store, file_store)
        self.asked_for: list[str | None] = []

    async def respond(
        self,
        thread: ThreadMetadata,
        input: UserMessageItem | ClientToolCallOutputItem,
        context: Any,
    ) -> AsyncIterator[Event]:
        if hasattr(context, "metadata"):
            chosen = context.metadata.get("tool_choice"), context.metadata.get("model")
            yield {"type": "progress_update", "text": f"tool {chosen[0]}, model {chosen[1]}"}
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        result = Runner.run_streamed(
            self.shopper, await to_input_item(input, self.to_message_content), context=agent_context
        )
        async for event in stream_agent_response(agent_context, result):
            yield event

    async def to_message_content(self, part: FilePart | ImagePart):
        raise NotImplementedError

    async def action(
        self, thread: ThreadMetadata, action: Any, sender: WidgetItem | None, context: Any
    ) -> AsyncIterator[Event]:
        await self.store.add_thread_item(
            thread.id,
            HiddenContextItem(
                id=self.store.generate_item_id("msg", thread, context),
                created_at=datetime.now(),
                content=f"The user has ordered at shop {action.payload['shop']}.",
            ),
            context,
        )
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("msg", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(),
                content=[{"text": "Ordered."}],
            )
        )


# --- a store and an endpoint of its own ----------------------------------------------------------


class Shelf(Store[dict[str, Any]]):
    """Keeps everything in dictionaries."""

    def __init__(self) -> None:
        self.threads: dict[str, ThreadMetadata] = {}
        self.items: dict[str, dict[str, Any]] = {}

    async def load_thread(self, thread_id, context):
        if thread_id not in self.threads:
            raise NotFoundError(thread_id)
        return self.threads[thread_id]

    async def save_thread(self, thread, context):
        self.threads[thread.id] = thread
        self.items.setdefault(thread.id, {})

    async def load_threads(self, limit, after, order, context):
        return Page(data=list(self.threads.values())[:limit], has_more=False)

    async def delete_thread(self, thread_id, context):
        del self.threads[thread_id], self.items[thread_id]

    async def load_thread_items(self, thread_id, after, limit, order, context):
        items = list(self.items[thread_id].values())
        return Page(data=(items[::-1] if order == "desc" else items)[:limit], has_more=False)

    async def add_thread_item(self, thread_id, item, context):
        self.items[thread_id][item.id] = item

    async def save_item(self, thread_id, item, context):
        self.items[thread_id][item.id] = item

    async def load_item(self, thread_id, item_id, context):
        if item_id not in self.items[thread_id]:
            raise NotFoundError(item_id)
        return self.items[thread_id][item_id]

    async def delete_thread_item(self, thread_id, item_id, context):
        self.items[thread_id].pop(item_id, None)

    async def save_attachment(self, attachment, context): ...

    async def load_attachment(self, attachment_id, context):
        raise NotFoundError(attachment_id)

    async def delete_attachment(self, attachment_id, context): ...


class Drawer(FileStore):
    """Keeps no files."""

    async def delete_attachment(self, attachment_id, context): ...


app = FastAPI()
server = ShoppingServer(data_store=Shelf(), file_store=Drawer())


@app.post("/chatkit")
async def chatkit_endpoint(request: Request):
    result = await server.process(await request.body(), {})
    if isinstance(result, StreamingResult):
        return StreamingResponse(result, media_type="text/event-stream")
    return Response(content=result.json, media_type="application/json")
