"""SQL lives in ``app/db`` and in the ``repository.py`` (``*_repository.py``) of a part."""

import ast
import re
from pathlib import Path

import pytest

from tests.test_imports import MODULES, ROOT

SQL = re.compile(
    r"\bSELECT\s.+\sFROM\s|\bINSERT INTO\s|\bUPDATE\s+\w+\s+SET\s|\bDELETE FROM\s", re.S
)


def may_hold_sql(path: Path) -> bool:
    return path.is_relative_to(ROOT / "app" / "db") or path.name.endswith("repository.py")


def texts_of(path: Path) -> list[str]:
    """Return every piece of text in a module."""
    constants = (
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    )
    return [value for value in constants if isinstance(value, str)]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if not may_hold_sql(path)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_sql_outside_its_places(path: Path) -> None:
    assert [text for text in texts_of(path) if SQL.search(text)] == []


def test_sql_is_recognised() -> None:
    holding = [path for path in MODULES if any(SQL.search(text) for text in texts_of(path))]
    assert {path.relative_to(ROOT / "app").as_posix() for path in holding} >= {
        "auth/repository.py",
        "db/statements/threads.py",
        "runs/repository.py",
        "uploads/repository.py",
    }
