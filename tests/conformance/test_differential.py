"""Our server answers as the official one does, but for what ``differences.py`` declares."""

import pytest

from tests.conformance import scenarios_engine  # noqa: F401
from tests.conformance.harness import OFFICIAL, OURS, run
from tests.conformance.registry import SCENARIOS
from tests.conformance.transcript import diff_lines

pytestmark = pytest.mark.filterwarnings(
    "ignore:Direct usage of named widget classes:DeprecationWarning"
)

_found: dict[str, list[str]] = {}


async def find_differences(name: str) -> list[str]:
    """Return the lines that only one of the two transcripts of a scenario has."""
    if name not in _found:
        pair = [(await run(kit, SCENARIOS[name])).lines for kit in (OFFICIAL, OURS)]
        _found[name] = diff_lines(*pair)
    return _found[name]


@pytest.mark.parametrize("name", SCENARIOS)
async def test_server_answers_as_the_official_one_when(name: str) -> None:
    found = await find_differences(name)
    assert not found, "\n".join(found)
