"""Workflows of tools."""

from typing import Any

from agents import StopAtTools

from tests.conformance.answering import answer_with_tool, tool
from tests.conformance.building import card, item
from tests.conformance.harness import Talk, settle
from tests.conformance.registry import scenario
from tests.support.scripted_model import call, text, turn


@scenario
async def workflow_goes_through_its_stages(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        await context.start_workflow(types.Workflow(type="custom", tasks=[]))
        first = types.CustomTask(title="One", status_indicator="loading")
        await context.add_workflow_task(first)
        await context.add_workflow_task(types.ThoughtTask(content="Hm"))
        finished = types.CustomTask(title="One", status_indicator="complete")
        await context.update_workflow_task(finished, 0)
        await context.end_workflow()

    answer_with_tool(talk, work)
    await talk.say()
    await talk.send_to_thread("items.list")


@scenario
async def workflow_starts_with_tasks_and_ends_with_a_summary(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        tasks = [types.FileTask(title="Read"), types.SearchTask(queries=["a"])]
        await context.start_workflow(types.Workflow(type="custom", tasks=tasks))
        summary = types.CustomSummary(title="Found it", icon="search")
        await context.end_workflow(summary, expanded=True)
        await context.end_workflow()

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_begins_with_its_first_task_and_ends_with_the_answer(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        await context.add_workflow_task(types.CustomTask(title="One"))
        await context.stream(types.ProgressUpdateEvent(text="Working"))
        await context.add_workflow_task(types.CustomTask(title="Two"))

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_changes_faster_than_it_is_read(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        for title in ("One", "Two"):
            await context.context.add_workflow_task(types.CustomTask(title=title))
        await settle()

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_is_ended_by_a_widget(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        await context.start_workflow(types.Workflow(type="reasoning", tasks=[]))
        await context.add_workflow_task(types.ThoughtTask(content="Hm"))
        await context.stream_widget(card(talk.kit))

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_is_started_by_an_event(talk: Talk) -> None:
    kit, types = talk.kit, talk.kit.types

    async def work(context: Any) -> None:
        task = types.CustomTask(title="One")
        summary = types.CustomSummary(title="Summary")
        workflow = types.Workflow(type="custom", tasks=[task], summary=summary)
        each = item(kit, "WorkflowItem", context.thread, "workflow_1", workflow=workflow)
        await context.stream(types.ThreadItemAddedEvent(item=each))

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_has_two_equal_tasks(talk: Talk) -> None:
    types = talk.kit.types

    async def work(context: Any) -> None:
        await context.add_workflow_task(types.CustomTask(title="Same"))
        await context.add_workflow_task(types.CustomTask(title="Same"))

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def task_of_no_workflow_is_updated(talk: Talk) -> None:
    async def work(context: Any) -> None:
        try:
            await context.update_workflow_task(talk.kit.types.CustomTask(title="One"), 0)
        except ValueError:
            talk.transcript.note("refused by the context")

    answer_with_tool(talk, work)
    await talk.say()


@scenario
async def workflow_stays_open_and_goes_on_after_a_client_tool(talk: Talk) -> None:
    types = talk.kit.types

    async def begin(context: Any) -> None:
        await context.add_workflow_task(types.CustomTask(title="One"))
        context.client_tool_call = talk.kit.agents.ClientToolCall(name="begin", arguments={})

    async def go_on(context: Any) -> None:
        await context.add_workflow_task(types.CustomTask(title="Two"))

    talk.answer_by_model(
        turn(call("begin", id="fc_1")),
        turn(call("go_on", id="fc_2")),
        turn(text("Done", id="answer_1")),
        tools=[tool("begin", begin), tool("go_on", go_on)],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["begin"]),
    )
    await talk.say()
    await talk.send_to_thread("threads.add_client_tool_output", result={"ok": True})
    await talk.send_to_thread("items.list")


@scenario
async def workflow_stays_open_and_goes_on_with_the_next_message(talk: Talk) -> None:
    types = talk.kit.types

    async def begin(context: Any) -> None:
        await context.start_workflow(types.Workflow(type="custom", tasks=[]))
        await context.add_workflow_task(types.CustomTask(title="One"))

    talk.answer_by_model(
        turn(call("begin", id="fc_1")),
        turn(text("Done", id="answer_1")),
        tools=[tool("begin", begin)],
        tool_use_behavior="stop_on_first_tool",
    )
    await talk.say()
    await talk.say()
