"""The assistant: what happens between a user's message and the events that answer it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from agents import ModelSettings, RunConfig, Runner, TResponseInputItem
from agents.tracing import TracingConfig

from app.assistant.actions import actions
from app.assistant.agent import create_agent
from app.assistant.converter import AssistantConverter
from app.assistant.files import ThreadFiles
from app.assistant.images import AssistantStreamConverter
from app.assistant.titles import TitleWriter, Untitled, first_words
from app.chatkit.agents import AgentContext, stream_agent_response
from app.chatkit.agents.tool_failures import describe_tool_error
from app.chatkit.context import RequestContext
from app.chatkit.protocol.events import ThreadStreamEvent
from app.chatkit.protocol.items import (
    ClientToolCallItem,
    InferenceOptions,
    StructuredInputItem,
    Thread,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
)
from app.chatkit.server import ChatKitServer
from app.chatkit.store import AttachmentStore, Store
from app.providers.models import SELECTABLE_MODELS, AssistantModels
from app.settings import Settings

MAX_TURNS = 10
"""How often the model may be called for one answer: a limit for tools that lead nowhere."""


class AssistantServer(ChatKitServer[RequestContext]):
    """Answers with the agent of this package. ``aclose`` it at the end of the process."""

    actions = actions

    def __init__(
        self,
        store: Store[RequestContext],
        attachment_store: AttachmentStore[RequestContext] | None = None,
        *,
        settings: Settings,
        models: AssistantModels | None = None,
    ) -> None:
        super().__init__(store, attachment_store)
        self.settings = settings
        self.models = models or AssistantModels(settings)
        self.agent = create_agent(self.models.get_model(), self.models.get_model_settings())
        self.titles = TitleWriter(self.models)

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Yield the agent's answer to the thread as it stands, and set the title of a new one."""
        history, is_whole = await self.load_history(thread, context, input_user_message)
        agent_context = AgentContext[RequestContext](
            thread=thread,
            store=self.store,
            request_context=context,
            chatkit_loaded_history=history,
            chatkit_history_is_whole=is_whole,
        )
        files = ThreadFiles(self.attachment_store, context, self.models.readable_files)
        run_config = self.create_run_config(thread, input_user_message)
        untitled: Untitled | None = None
        if context.features.automatic_titles:
            untitled = self.titles.find_untitled(thread, history, self.store, context)
        is_waiting = False
        model_input = await AssistantConverter(files).to_agent_input(history)
        async with aclosing(self.stream_answer(agent_context, model_input, run_config)) as events:
            async for event in events:
                is_waiting |= _waits_for_page(event)
                yield event
        # The page is quick, and the answer goes on with what it says.
        if untitled is not None and not is_waiting:
            await self.titles.improve(untitled)

    def chatkit_get_first_title(
        self, message: UserMessageItem, context: RequestContext
    ) -> str | None:
        """Return the message's first words: the list of threads has a name for it at once."""
        return first_words(message) if context.features.automatic_titles else None

    def stream_answer(
        self,
        agent_context: AgentContext[RequestContext],
        model_input: list[TResponseInputItem],
        run_config: RunConfig,
    ) -> AsyncGenerator[ThreadStreamEvent, None]:
        """Yield the events of one run of the agent."""
        result = Runner.run_streamed(
            self.agent,
            model_input,
            context=agent_context,
            run_config=run_config,
            max_turns=MAX_TURNS,
        )
        images = AssistantStreamConverter(self.attachment_store, agent_context.request_context)
        return stream_agent_response(agent_context, result, converter=images)

    async def load_history(
        self, thread: ThreadMetadata, context: RequestContext, message: UserMessageItem | None
    ) -> tuple[list[ThreadItem], bool]:
        """Return the newest items of the thread, oldest first, and whether they are all it has.

        ``message`` is the last.
        """
        if message is not None and isinstance(thread, Thread):
            return [message], True  # the thread is new
        limit = self.settings.history_items
        page = await self.store.load_thread_items(thread.id, None, limit, "desc", context)
        return page.data[::-1], not page.has_more

    def create_run_config(
        self, thread: ThreadMetadata, message: UserMessageItem | None
    ) -> RunConfig:
        """Return how the agent runs for this message. What it traces goes to the key's account."""
        options = message.inference_options if message else InferenceOptions()
        key = self.settings.openai_api_key if self.settings.tracing else None
        tool = self._choose_tool(options)
        return RunConfig(
            model=self._choose_model(options),
            model_provider=self.models,
            model_settings=ModelSettings(tool_choice=tool) if tool else None,
            tool_not_found_behavior="return_error_to_model",
            tool_error_formatter=describe_tool_error,
            tracing_disabled=key is None,
            tracing=TracingConfig(api_key=key.get_secret_value()) if key else None,
            workflow_name="Assistant",
            group_id=thread.id,
        )

    def _choose_model(self, options: InferenceOptions) -> str | None:
        return options.model if options.model in SELECTABLE_MODELS else None

    def _choose_tool(self, options: InferenceOptions) -> str | None:
        wanted = options.tool_choice.id if options.tool_choice else None
        return wanted if wanted in {tool.name for tool in self.agent.tools} else None

    async def aclose(self) -> None:
        """Close what this server opened: the connections to the model provider."""
        await self.titles.aclose()
        await self.models.aclose()


def _waits_for_page(event: ThreadStreamEvent) -> bool:
    """Return whether an event leaves the turn to the page: a call, or questions to the user."""
    if event.type != "thread.item.done":
        return False
    item = event.item
    return isinstance(item, ClientToolCallItem | StructuredInputItem) and item.status == "pending"
