"""The exchanges that an operator runs with a new model, against the fake provider."""

from typing import Any

import pytest

from app.settings import Settings
from app.try_model import TRIALS, try_model
from tests.providers.fake_openai import FakeOpenAI, Reply, ToolCall

ALPHA, BETA = (ToolCall("get_number", f'{{"name": "{name}"}}') for name in ("alpha", "beta"))


def configure(fake: FakeOpenAI, model_api: str) -> Settings:
    values: dict[str, Any] = {"openai_base_url": fake.base_url, "model_api": model_api}
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


async def test_model_that_can_do_everything_passes(fake: FakeOpenAI, model_api: str) -> None:
    fake.replies.extend(
        [
            Reply(text="Hello."),
            Reply(text="one two three " * 20, pause=0.02),
            *(Reply(text="Noted."), Reply(text="Rufus.")),
            *(Reply(tool_calls=(ALPHA,)), Reply(text="It is 4711.")),
            *(Reply(tool_calls=(ALPHA, BETA)), Reply(text="4,711 and 815.")),
            Reply(tool_calls=(ALPHA,)),
            *(Reply(tool_calls=(ToolCall("get_page_title"),)), Reply(text="Blue Herring.")),
            Reply(text="Red."),
            Reply(text="a cat " * 40),
            Reply(text="Bread for all"),
            Reply(text="one two three " * 200, pause=0.01),
        ]
    )
    results = {trial.name: fault async for trial, fault in try_model(configure(fake, model_api))}
    assert results == {trial.name: "" for trial in TRIALS}


@pytest.mark.parametrize("status", [401, 404])
async def test_model_that_refuses_everything_fails_with_what_to_set(
    fake: FakeOpenAI, model_api: str, status: int
) -> None:
    fake.replies.extend([Reply(status=status)] * len(TRIALS))
    results = [each async for each in try_model(configure(fake, model_api))]
    assert len(results) == len(TRIALS)
    assert all(fault and trial.advice for trial, fault in results)
