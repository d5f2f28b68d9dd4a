"""The secret that development makes for itself: kept, and nobody else's to read."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.auth.identity import load_signing_secret
from tests.support.databases import settings_for


def test_secret_is_the_same_after_a_restart_and_private(tmp_path: Path) -> None:
    settings = settings_for(data_dir=tmp_path / "data")
    secret = load_signing_secret(settings)
    assert len(secret) >= 32
    assert load_signing_secret(settings) == secret
    (path,) = (tmp_path / "data").iterdir()
    assert path.read_bytes() == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secret_is_one_when_two_processes_start_together(tmp_path: Path) -> None:
    settings = settings_for(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as starts:
        found = set(starts.map(lambda _: load_signing_secret(settings), range(8)))
    assert len(found) == 1


def test_secrets_differ_from_place_to_place(tmp_path: Path) -> None:
    first = load_signing_secret(settings_for(data_dir=tmp_path / "one"))
    assert load_signing_secret(settings_for(data_dir=tmp_path / "two")) != first


def test_given_secret_is_taken_and_nothing_is_written(tmp_path: Path) -> None:
    settings = settings_for(data_dir=tmp_path / "data", signing_secret="x" * 40)
    assert load_signing_secret(settings) == b"x" * 40
    assert not (tmp_path / "data").exists()
