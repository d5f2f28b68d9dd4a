"""Which model answers: the offline one, OpenAI's, or any server that speaks one of its APIs."""

import re
from dataclasses import replace
from typing import Literal, cast

from agents import (
    Model,
    ModelProvider,
    ModelSettings,
    OpenAIResponsesModel,
)
from agents.models import get_default_model_settings
from openai import AsyncOpenAI

from app.model_url import parse_model_url
from app.providers.chat_messages import StrictChatClient
from app.providers.client import OPENAI_URL, create_client
from app.providers.normalised_model import NormalisedModel
from app.providers.offline.model import DEFAULT_DELAY, OFFLINE_MODEL_NAME, OfflineModel
from app.providers.openai_models import ChatCompletionsModel, CompatibleResponsesModel
from app.providers.paced_model import PacedModel
from app.providers.provider_model import ProviderModel, RefusedParts
from app.providers.smaller_input import PartKind
from app.settings import NO_MODEL, Settings, SettingsError

DEFAULT_MODEL = "gpt-5.6-luna"
"""Used where ``ASSISTANT_MODEL`` is not set: quick, and good at calling tools."""

SELECTABLE_MODELS: frozenset[str] = frozenset()
"""Models that a page may ask for by ``inference_options.model``; any other wish is ignored."""

FileKind = Literal["image", "pdf", "text"]
"""What a model can be given besides words."""
_FILE_KINDS: dict[PartKind, FileKind] = {"image": "image", "file": "pdf"}


_REASONS = re.compile(r"(openai/)?(gpt-[5-9](?!.*chat)|o[1-9]|codex)")
"""Names of OpenAI's models that reason."""


class AssistantModels(ModelProvider):
    """Hands out the models of one process, which share one client.

    Nothing is set globally: the agent and its runs are given what they need. ``offline_delay`` is
    the time between two words of the offline model, in seconds. Raises ``SettingsError`` where that
    one would answer in production.
    """

    def __init__(self, settings: Settings, *, offline_delay: float = DEFAULT_DELAY) -> None:
        if (
            settings.is_production
            and settings.uses_offline_model
            and not settings.uses_builtin_assistant  # that one is looked after by the settings
        ):
            raise SettingsError(f"APP_ENV=production refuses: OPENAI_API_KEY {NO_MODEL}")
        self._settings = settings
        self._offline_delay = offline_delay
        self._client = create_client(settings)
        self._refused = RefusedParts()

    @property
    def is_offline(self) -> bool:
        """Whether no provider is configured."""
        return self._client is None

    @property
    def readable_files(self) -> frozenset[FileKind]:
        """The kinds of files that models are given: what the server on the other side takes.

        Few of those that speak Chat Completions take PDFs; an image is for a model that sees. What
        the default model refused lately is not among them.
        """
        if self._settings.model_reads is not None:
            return frozenset(self._settings.model_reads)
        kinds: set[FileKind] = {"image", "pdf", "text"}
        if self._client is not None and self._settings.model_api == "chat_completions":
            kinds.remove("pdf")
        refused = self._refused.recall(self.default_name)
        return frozenset(kinds - {_FILE_KINDS[each] for each in refused})

    @property
    def default_name(self) -> str:
        """The name of the model that answers unless another one is asked for."""
        if self.is_offline:
            return OFFLINE_MODEL_NAME
        return self._settings.assistant_model or DEFAULT_MODEL

    @property
    def writes_titles(self) -> bool:
        """Whether a model is to write the titles of threads."""
        return self._settings.titles and not self.is_offline

    @property
    def title_model(self) -> str | None:
        """The name of the model that does; None: the one that answers."""
        return self._settings.title_model

    def get_model(self, model_name: str | None = None) -> PacedModel:
        """Return a model by name, or the default one."""
        return PacedModel(self._create_model(model_name or self.default_name))

    def _create_model(self, name: str) -> Model:
        if self._client is None:
            return OfflineModel(delay=self._offline_delay)
        is_chat = self._settings.model_api == "chat_completions"
        model: Model
        if is_chat:
            model = ChatCompletionsModel(name, cast("AsyncOpenAI", StrictChatClient(self._client)))
        elif self._is_openai:
            model = OpenAIResponsesModel(name, self._client)
        else:
            model = CompatibleResponsesModel(name, self._client)
        address = self._client.base_url.netloc.decode().rpartition("@")[2]
        return ProviderModel(
            NormalisedModel(model), refused=self._refused, address=address, is_chat=is_chat
        )

    def get_model_settings(
        self, model_name: str | None = None, *, max_tokens: int | None = None
    ) -> ModelSettings:
        """Return what the Agents SDK would choose for a model of that name (effort, verbosity).

        ``max_tokens`` limits the answer, under the name that the provider takes.
        """
        name = model_name or self.default_name
        settings = get_default_model_settings(name)
        if self._settings.model_api == "responses" and not self.is_offline and _REASONS.match(name):
            # Reasoning that comes along is given back with its calls: nobody has to keep it.
            settings = replace(settings, response_include=["reasoning.encrypted_content"])
        if max_tokens is None:
            return settings
        if self._settings.model_api == "chat_completions" and self._is_openai:
            # The older name, which all others know, is refused for models that reason.
            return replace(settings, extra_args={"max_completion_tokens": max_tokens})
        return replace(settings, max_tokens=max_tokens)

    @property
    def _is_openai(self) -> bool:
        url = parse_model_url(self._settings.openai_base_url or OPENAI_URL)
        return url.base == OPENAI_URL or url.is_azure

    async def aclose(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            await self._client.close()


def prepare_model(model: Model) -> PacedModel:
    """Return a model of somebody's own as the rest of the product expects one.

    What its server leaves out of its events is made good, and they are paced: deltas cost the
    Agents SDK dearly.
    """
    return PacedModel(NormalisedModel(model))
