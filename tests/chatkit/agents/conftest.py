"""What every test of the bridge begins with."""

import pytest

from tests.chatkit.agents.agent_runs import note_tasks


@pytest.fixture(autouse=True)
async def _earlier_tasks() -> None:
    note_tasks()
