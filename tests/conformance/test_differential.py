"""Our server answers as the official one does, but for what ``differences.py`` declares."""

import gc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from app.chatkit import types
from tests.conformance.differences import BEHAVIOUR_DIFFERENCES, REWORDINGS, Rewording
from tests.conformance.harness import OFFICIAL, OURS, run, settle
from tests.conformance.registry import load_scenarios
from tests.conformance.transcript import Transcript, diff_lines

pytestmark = pytest.mark.filterwarnings(
    "ignore:Direct usage of named widget classes:DeprecationWarning"
)

SCENARIOS = load_scenarios()
_transcripts: dict[str, tuple[Transcript, Transcript]] = {}


@pytest.fixture(autouse=True, scope="module")
async def _nothing_is_left_to_other_tests() -> AsyncIterator[None]:
    """Collect what the official server left lying about, so that no other test stumbles on it."""
    yield
    gc.collect()
    await settle()


async def transcripts(name: str) -> tuple[Transcript, Transcript]:
    """Return what happened in a scenario: with the official server, and with ours."""
    if name not in _transcripts:
        scenario = SCENARIOS[name]
        _transcripts[name] = await run(OFFICIAL, scenario), await run(OURS, scenario)
    return _transcripts[name]


async def differences(name: str, rewordings: tuple[Rewording, ...] = REWORDINGS) -> list[str]:
    """Return the lines that only one of the two transcripts has."""
    pair = [transcript.lines for transcript in await transcripts(name)]
    for rewording in rewordings:
        pair = [rewording.apply(lines) for lines in pair]
    return diff_lines(*pair)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_server_answers_as_the_official_one_when(name: str) -> None:
    found = await differences(name)
    declared = BEHAVIOUR_DIFFERENCES.get(name)
    if declared is None:
        assert not found, "\n".join(found)
    else:
        assert found, f"nothing differs any more: {declared.reason}"
        assert declared.covers(found), "\n".join(("declared:", *declared.lines, "found:", *found))


def test_difference_belongs_to_a_scenario_when_declared() -> None:
    assert set(BEHAVIOUR_DIFFERENCES) <= set(SCENARIOS)


def type_names(union: Any) -> set[str]:
    """Return the values of ``type`` that a union of models knows."""
    models = get_args(get_args(union)[0]) if hasattr(union, "__metadata__") else get_args(union)
    return {each for model in models for each in get_args(model.model_fields["type"].annotation)}


async def test_every_request_is_sent_twice_when_all_scenarios_run() -> None:
    sent = Counter[str]()
    for name in SCENARIOS:
        sent.update((await transcripts(name))[1].request_types)
    known = type_names(types.StreamingReq) | type_names(types.NonStreamingReq)
    assert len(known) == 16
    assert not {each for each in known if sent[each] < 2}


@pytest.mark.parametrize(
    "union", [types.ThreadStreamEvent, types.ThreadItemUpdate, types.ThreadItem, types.Task]
)
async def test_every_kind_is_seen_when_all_scenarios_run(union: Any) -> None:
    lines = [line for name in SCENARIOS for line in (await transcripts(name))[0].lines]
    text = "\n".join(lines)
    assert not {each for each in type_names(union) if f'"type": "{each}"' not in text}


@pytest.mark.parametrize("rewording", REWORDINGS, ids=lambda each: each.reason)
async def test_rewording_is_needed_when_declared(rewording: Rewording) -> None:
    others = tuple(each for each in REWORDINGS if each is not rewording)
    assert [
        name for name in SCENARIOS if await differences(name) != await differences(name, others)
    ]
