"""What a run costs is written down with it."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.replica import Page, Replica


async def test_tokens_and_model_are_stored_on_the_run(
    replica: Replica, engine: AsyncEngine
) -> None:
    async with Page(replica.url) as page:
        thread_id = (await page.create("What is the weather in Paris?"))[0]["thread"]["id"]
    async with engine.connect() as connection:
        row = await connection.execute(
            text("SELECT state, model, input_tokens, output_tokens FROM runs WHERE thread_id = :t"),
            {"t": thread_id},
        )
        run = row.one()
    assert run.state == "completed"
    assert run.model == "offline"
    assert run.input_tokens > 0
    assert run.output_tokens > 0
