"""Tries the configured model: a dozen short exchanges, and what to set where one fails."""

import base64
import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from agents import Agent, ModelSettings, RunConfig, Runner, Tool, function_tool
from PIL import Image

from app.providers.models import AssistantModels
from app.settings import Settings

COST = (
    "This sends about 15 short requests to the configured model: "
    "some 5,000 tokens in and 1,500 out."
)


class TrialError(Exception):
    """An exchange did not go as it should; the message says what was missing."""


@dataclass(frozen=True)
class Trial:
    """One exchange; ``advice`` is what to set where it fails."""

    name: str
    advice: str
    run: Callable[["Trials"], Awaitable[None]]


@function_tool
async def get_number(name: str) -> str:
    """Return the number that belongs to a name.

    Args:
        name: The name.
    """
    return {"alpha": "4711", "beta": "815"}.get(name.lower(), "0")


@function_tool
async def get_page_title() -> str:
    """Return the title of the page that the user sees."""
    return "unreachable"


class Trials:
    """Runs the exchanges against one model."""

    def __init__(self, models: AssistantModels) -> None:
        self.models = models

    async def ask(
        self, question: str | list[Any], *tools: Tool, stop: bool = False, **settings: Any
    ) -> tuple[str, list[Any], int]:
        """Return the answer's text, the run's input for a next turn, and how many pieces came."""
        agent = Agent[Any](
            name="Trial",
            instructions="Answer in one short sentence. Use the tools that you have.",
            model=self.models.get_model(),
            model_settings=self.models.get_model_settings().resolve(ModelSettings(**settings)),
            tools=list(tools),
            tool_use_behavior="stop_on_first_tool" if stop else "run_llm_again",
        )
        config = RunConfig(tracing_disabled=True)
        result = Runner.run_streamed(agent, question, run_config=config, max_turns=5)
        pieces = 0
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                pieces += event.data.type == "response.output_text.delta"
        return str(result.final_output or ""), result.to_input_list(), pieces


def _expect(text: str, *words: str) -> None:
    missing = [word for word in words if word not in text.replace(",", "")]
    if missing or not text.strip():
        raise TrialError(f"the answer lacks {', '.join(missing) or 'any text'}")


async def _answer(trials: Trials) -> None:
    text, _, _ = await trials.ask("Say hello.")
    _expect(text)


async def _stream(trials: Trials) -> None:
    _, _, pieces = await trials.ask("Count from one to thirty in words.")
    if pieces < 2:
        raise TrialError("the answer came in one piece")


async def _remember(trials: Trials) -> None:
    _, history, _ = await trials.ask("My dog is called Rufus.")
    told = {"role": "user", "content": "What is my dog called?"}
    _expect((await trials.ask([*history, told]))[0], "Rufus")


async def _use_tool(trials: Trials) -> None:
    _expect((await trials.ask("What is the number of alpha?", get_number))[0], "4711")


async def _use_two_tools(trials: Trials) -> None:
    text, _, _ = await trials.ask("What are the numbers of alpha and of beta?", get_number)
    _expect(text, "4711", "815")


async def _force_tool(trials: Trials) -> None:
    _, items, _ = await trials.ask("Hello.", get_number, stop=True, tool_choice="get_number")
    if not any(each.get("type") == "function_call" for each in items):
        raise TrialError("the tool was not called")


async def _ask_page(trials: Trials) -> None:
    question = "What is the title of my page?"
    _, items, _ = await trials.ask(question, get_page_title, stop=True)
    if items[-1].get("type") != "function_call_output":
        raise TrialError("the tool was not called")
    answered = [*items[:-1], items[-1] | {"output": "Blue Herring"}]
    _expect((await trials.ask(answered, get_page_title))[0], "Herring")


async def _look(trials: Trials) -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), (255, 0, 0)).save(content, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    parts = [
        {"type": "input_text", "text": "Which colour is this? Answer with the English word."},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    text, _, _ = await trials.ask([{"role": "user", "content": parts}])
    _expect(text.lower(), "red")


async def _write_long(trials: Trials) -> None:
    text, _, _ = await trials.ask("Name forty different animals, in one sentence.")
    if len(text.split()) < 40:
        raise TrialError(f"the answer has only {len(text.split())} words")


async def _stop(trials: Trials) -> None:
    agent = Agent[Any](name="Trial", model=trials.models.get_model())
    result = Runner.run_streamed(
        agent, "Count from one to five hundred.", run_config=RunConfig(tracing_disabled=True)
    )
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            result.cancel()
            return
    raise TrialError("there was nothing to stop")


async def _title(trials: Trials) -> None:
    text, _, _ = await trials.ask(
        "Write a title of three words for a talk about bread.", max_tokens=256
    )
    _expect(text)


TRIALS = (
    Trial("answer", "OPENAI_BASE_URL, OPENAI_API_KEY, MODEL_API and ASSISTANT_MODEL", _answer),
    Trial("streaming", "a proxy that does not buffer; MODEL_API", _stream),
    Trial("next turn", "a model for chats in ASSISTANT_MODEL", _remember),
    Trial("tool", "a model that calls tools; vLLM and llama.cpp need an option for it", _use_tool),
    Trial("two tools", "a model that calls tools", _use_two_tools),
    Trial("chosen tool", "MODEL_API=chat_completions", _force_tool),
    Trial("client tool", "a model that calls tools", _ask_page),
    Trial("image", "MODEL_READS=text, or a model that sees", _look),
    Trial("long answer", "a higher limit of tokens at the server", _write_long),
    Trial("title", "TITLE_MODEL, or TITLES=false", _title),
    Trial("stop", "a proxy that does not buffer", _stop),
)


async def try_model(settings: Settings) -> AsyncGenerator[tuple[Trial, str]]:
    """Yield each exchange with what went wrong, or "" where nothing did."""
    models = AssistantModels(settings)
    trials = Trials(models)
    try:
        for trial in TRIALS:
            try:
                await trial.run(trials)
            except TrialError as error:
                yield trial, str(error)
            except Exception as error:  # whatever a provider can do is a finding
                yield trial, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            else:
                yield trial, ""
    finally:
        await models.aclose()
