"""The choice of the model: what each setting leads to, and that nothing is set globally."""

from typing import Any

import pytest
from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel
from agents.models import _openai_shared

from app.providers.client import create_client
from app.providers.models import DEFAULT_MODEL, AssistantModels
from app.providers.offline.model import OfflineModel
from app.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


async def test_offline_model_when_nothing_is_configured() -> None:
    models = AssistantModels(settings(assistant_model="gpt-5"))
    assert isinstance(models.get_model().inner, OfflineModel)
    assert models.is_offline
    assert models.default_name == "offline"
    await models.aclose()


@pytest.mark.parametrize(
    ("model_api", "model_class"),
    [("responses", OpenAIResponsesModel), ("chat_completions", OpenAIChatCompletionsModel)],
)
async def test_api_is_the_one_of_the_setting(model_api: str, model_class: type) -> None:
    models = AssistantModels(settings(openai_api_key="sk-1", model_api=model_api))
    model = models.get_model()
    assert isinstance(model.inner.inner.inner, model_class)
    assert model.model == DEFAULT_MODEL
    assert not models.is_offline
    await models.aclose()


async def test_model_is_the_one_of_the_setting_or_the_one_asked_for() -> None:
    models = AssistantModels(settings(openai_api_key="sk-1", assistant_model="small"))
    assert models.get_model().model == "small"
    assert models.get_model("large").model == "large"
    await models.aclose()


async def test_client_gets_key_url_and_timeout_from_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured = settings(openai_api_key="sk-1", model_timeout=7)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    client = create_client(configured)
    assert client is not None
    assert client.api_key == "sk-1"
    assert str(client.base_url) == "https://api.openai.com/v1/"
    assert client.timeout.read == 7
    assert client.timeout.connect == 7
    assert client.max_retries == 2
    await client.close()


async def test_key_is_not_needed_when_a_base_url_is_given() -> None:
    models = AssistantModels(settings(openai_base_url="http://127.0.0.1:1/v1"))
    client = create_client(settings(openai_base_url="http://127.0.0.1:1/v1"))
    assert not models.is_offline
    assert client is not None
    assert client.api_key
    assert str(client.base_url) == "http://127.0.0.1:1/v1/"
    await client.close()
    await models.aclose()


async def test_no_client_is_set_for_the_whole_process() -> None:
    models = AssistantModels(settings(openai_api_key="sk-1"))
    assert _openai_shared.get_default_openai_client() is None
    assert _openai_shared.get_default_openai_key() is None
    await models.aclose()


async def test_connections_are_closed_at_the_end() -> None:
    models = AssistantModels(settings(openai_api_key="sk-1"))
    client = models.get_model()._client
    await models.aclose()
    assert client.is_closed()
