"""Identifiers."""

import re
import threading
import time
import uuid

import pytest

from app.chatkit.protocol import ids
from app.chatkit.protocol.ids import (
    ID_PREFIXES,
    StoreItemType,
    create_id,
    default_generate_id,
    uuid7_hex,
)


def test_id_is_a_uuid7_when_created() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(uuid7_hex())
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000 + 1000


def test_ids_increase_strictly_when_many_are_created() -> None:
    created = [uuid7_hex() for _ in range(20_000)]
    stamps = [each[:16] for each in created]
    assert stamps == sorted(set(stamps))


def test_ids_increase_strictly_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7_hex()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_000_000_000)
    others = [uuid7_hex() for _ in range(10_000)]
    assert [first, *others] == sorted([first, *others])
    assert len({each[:16] for each in others}) == 10_000


@pytest.mark.parametrize("nanos", [0, 1, 243, 244, 999_755, 999_999])
def test_time_is_kept_to_the_tick_when_an_id_is_created(
    monkeypatch: pytest.MonkeyPatch, nanos: int
) -> None:
    monkeypatch.setattr(ids, "_last_stamp", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_800_000_000_123_000_000 + nanos)
    created = uuid.UUID(uuid7_hex())
    assert created.int >> 80 == 1_800_000_000_123
    assert created.int >> 64 & 0xFFF == nanos * 4096 // 1_000_000


def test_ids_are_unique_when_threads_create_them() -> None:
    created: list[str] = []

    def work() -> None:
        created.extend([uuid7_hex()[:16] for _ in range(2_000)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(created)) == 8_000


@pytest.mark.parametrize("kind", ID_PREFIXES)
def test_id_has_the_official_prefix_when_a_store_hands_it_out(kind: StoreItemType) -> None:
    assert re.fullmatch(rf"{ID_PREFIXES[kind]}_[0-9a-f]{{32}}", default_generate_id(kind))
    assert create_id("run").startswith("run_")
