"""What a model says and thinks."""

from typing import Any, Literal

import httpx
import openai
from openai import BaseModel
from openai.types.responses.response_output_text import (
    AnnotationContainerFileCitation,
    AnnotationFileCitation,
    AnnotationFilePath,
    AnnotationURLCitation,
)

from tests.conformance.answering import tool
from tests.conformance.harness import Talk
from tests.conformance.registry import scenario
from tests.support.scripted_model import (
    Step,
    call,
    chat_text,
    failed,
    incomplete,
    open_reasoning,
    reasoning,
    refusal,
    text,
    turn,
)

# --- messages -------------------------------------------------------------------------------------


@scenario
async def text_is_streamed_over_several_turns(talk: Talk) -> None:
    talk.answer_by_model(
        turn(text("Hel", "lo", id="answer_1")),
        turn(text("Again", id="answer_2"), text("and again", id="answer_3")),
        turn(text("", id="answer_4")),
    )
    await talk.say()
    await talk.say()
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def text_is_streamed_at_full_speed(talk: Talk) -> None:
    words = [f"word {number} " for number in range(200)]
    talk.answer_by_model(turn(text(*words, id="answer_1")), rest=False)
    await talk.say()


@scenario
async def message_ids_are_placeholders(talk: Talk) -> None:
    talk.answer_by_model(turn(chat_text("One")), turn(chat_text("Two")))
    await talk.say()
    await talk.say()


@scenario
async def model_refuses(talk: Talk) -> None:
    talk.answer_by_model(turn(refusal("I can", "not", id="answer_1")))
    await talk.say()


@scenario
async def answer_is_incomplete(talk: Talk) -> None:
    talk.answer_by_model(turn(text("Half", id="answer_1"), ending=incomplete("max_output_tokens")))
    await talk.say()


@scenario
async def provider_fails_in_the_middle_of_a_text(talk: Talk) -> None:
    half = text("Half", id="answer_1", finished=False)
    talk.answer_by_model(turn(half, ending=[RuntimeError("provider")]))
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def provider_reports_a_failure(talk: Talk) -> None:
    talk.answer_by_model(turn(ending=failed("server_error")))
    await talk.say()


@scenario
async def provider_fails_before_any_event(talk: Talk) -> None:
    talk.answer_by_model([RuntimeError("provider")])
    await talk.say()


@scenario
async def provider_takes_too_long(talk: Talk) -> None:
    request = httpx.Request("POST", "https://api.example")
    talk.answer_by_model([openai.APITimeoutError(request=request)])
    await talk.say()


def citations() -> list[Any]:
    file, container = AnnotationFileCitation, AnnotationContainerFileCitation
    span = {"start_index": 1, "end_index": 3}
    kind = "container_file_citation"
    return [
        file(type="file_citation", file_id="f", filename="a.txt", index=2),
        file(type="file_citation", file_id="f", filename="", index=2),
        AnnotationURLCitation(type="url_citation", url="https://a.example", title="A", **span),
        container(type=kind, container_id="c", file_id="f", filename="b.txt", **span),
        container(type=kind, container_id="c", file_id="f", filename="", **span),
        AnnotationFilePath(type="file_path", file_id="f", index=0),
    ]


@scenario
async def citations_come_with_the_finished_message(talk: Talk) -> None:
    answer = text("Text", id="answer_1")
    answer.done.content[0].annotations = citations()
    talk.answer_by_model(turn(answer))
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def citations_are_streamed_as_dicts(talk: Talk) -> None:
    talk.answer_by_model(stream_citations([each.model_dump() for each in citations()]))
    await talk.say()


def stream_citations(annotations: list[Any]) -> list[Step]:
    """Return a turn that streams annotations just as they are; the client would parse them."""
    answer = text("Text", id="answer_1", annotations=annotations)
    answer.done.content[0].annotations = []
    steps, left = turn(answer), list(annotations)
    for step in steps:
        if getattr(step, "type", "") == "response.output_text.annotation.added":
            step.annotation = left.pop(0)
    return steps


class StreamedURLCitation(BaseModel):
    """What newer clients make of a streamed citation: a class that a finished message has not."""

    type: Literal["url_citation"] = "url_citation"
    url: str
    title: str
    start_index: int
    end_index: int


@scenario
async def citations_are_streamed_as_the_clients_own_classes(talk: Talk) -> None:
    span = {"start_index": 1, "end_index": 3}
    url = StreamedURLCitation(url="https://a.example", title="A", **span)
    talk.answer_by_model(turn(text("Text", id="answer_1", annotations=[url])))
    await talk.say()


@scenario
async def citations_of_an_unknown_kind(talk: Talk) -> None:
    talk.answer_by_model(stream_citations([{"type": "new_kind"}, None]))
    await talk.say()


@scenario
async def citations_are_converted_by_the_caller(talk: Talk) -> None:
    types = talk.kit.types

    class Converter(talk.kit.agents.ResponseStreamConverter):
        async def url_citation_to_annotation(self, url_citation: Any) -> Any:
            source = types.EntitySource(id=url_citation.url, title=url_citation.title)
            return types.Annotation(source=source, index=url_citation.start_index)

        async def file_citation_to_annotation(self, file_citation: Any) -> Any:
            return None

    answer = text("Text", id="answer_1")
    answer.done.content[0].annotations = citations()
    talk.answer_by_model(turn(answer), converter=Converter())
    await talk.say()


# --- reasoning ------------------------------------------------------------------------------------


@scenario
async def model_reasons_before_it_answers(talk: Talk) -> None:
    talk.answer_by_model(
        turn(reasoning(["Let ", "me ", "see"]), text("Well", id="answer_1")),
        turn(
            reasoning(["First"], ["Sec", "ond"], ["Third"], id="rs_2"),
            reasoning(["Fourth"], id="rs_3"),
            text("So", id="answer_2"),
        ),
        turn(reasoning(id="rs_4"), text("Nothing thought", id="answer_3")),
    )
    await talk.say()
    await talk.say()
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def model_reasons_between_tools(talk: Talk) -> None:
    async def work(context: Any) -> None:
        await context.add_workflow_task(talk.kit.types.CustomTask(title="Tool"))

    talk.answer_by_model(
        turn(reasoning(["Which tool?"]), call("work", id="fc_1")),
        turn(reasoning(["What now?"], id="rs_2"), text("Done", id="answer_1")),
        tools=[tool("work", work)],
    )
    await talk.say()


@scenario
async def model_thinks_aloud(talk: Talk) -> None:
    talk.answer_by_model(turn(open_reasoning("Let me ", "see"), text("Well", id="answer_1")))
    await talk.say()
