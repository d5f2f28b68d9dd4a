"""A database round trip is a budget item: how many a turn takes, with everything on."""

from typing import Any

from tests.support.local_replicas import LocalReplica, StartLocal
from tests.support.replica import Page, answer_text, message


class StatementCount:
    """The statements that a replica has sent, each of them a transaction and a round trip."""

    def __init__(self, replica: LocalReplica) -> None:
        self.statements: list[str] = []
        pool = replica.runs._repository._database._pool
        self._fetch = pool.fetch
        pool.fetch = self._note

    async def _note(self, statement: str, args: Any) -> Any:
        self.statements.append(statement)
        return await self._fetch(statement, args)

    def take(self) -> list[str]:
        """Return what was sent since the last call."""
        taken, self.statements = self.statements, []
        return taken


async def test_a_turn_stays_within_its_budget_of_round_trips(start_local: StartLocal) -> None:
    replica = await start_local(
        assistant_server="app.assistant.server:AssistantServer", run_heartbeat=60, run_takeover=240
    )
    async with Page(replica.url) as page:
        await page.create("Warm up")
        count = StatementCount(replica)
        events = await page.create("Hello")
        await replica.idle()
        created = count.take()
        answered = await page.stream(
            "threads.add_user_message",
            thread_id=events[0]["thread"]["id"],
            input=message("Hello again"),
        )
        await replica.idle()
        added = count.take()
    assert answer_text(events)
    assert answer_text(answered)
    assert len(created) <= 7, created
    assert len(added) <= 6, added
    # Spelt out, so that one more statement does not hide within the budget.
    assert (len(created), len(added)) == (4, 6)
