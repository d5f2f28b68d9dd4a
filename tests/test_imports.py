"""Imports point downward.

``main -> api -> {assistant, runs, auth, uploads} -> {providers, db} -> chatkit``, and within
``chatkit``: ``server -> {engine, action_routing, agents} -> {store, streaming} -> protocol ->
widgets -> actions -> leaves``.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "app").rglob("*.py"))
CHATKIT = ROOT / "app" / "chatkit"
CHATKIT_MODULES = sorted(CHATKIT.rglob("*.py"))

LEAVES = {"settings", "model_url", "errors", "observability", "audit"}
# What each part of ``app`` may import besides itself and the leaves.
ALLOWED = {
    "chatkit": set[str](),
    "db": {"chatkit"},
    "providers": {"chatkit"},
    "uploads": {"chatkit", "db"},
    "assistant": {"chatkit", "providers"},
    "auth": {"chatkit", "db"},
    "runs": {"chatkit", "db"},
    "api": {"chatkit", "db", "uploads", "assistant", "auth", "runs"},
    "constructor_form": set[str](),
    "assistant_loading": {"chatkit", "providers", "constructor_form"},
    "main": {"chatkit", "db", "uploads", "assistant", "auth", "runs", "api", "assistant_loading"},
    "connections": {"api"},
    "serve": {"db", "main", "connections"},
    "doctor": {"db", "auth", "main", "serve", "assistant_loading"},
    "delete_user": {"auth", "db", "main", "uploads"},
    "try_model": {"providers"},
    "__main__": {"try_model", "db", "serve", "doctor", "delete_user"},
    **{leaf: {"chatkit"} for leaf in LEAVES},
}
CHATKIT_LEAVES = {
    "closing",
    "wakeup",
    "errors",
    "icons",
    "context",
    "logger",
    "old_names",
    "shielding",
    "tolerant_model",
    "untyped",
    "version",
    "warn_once",
}
_PROTOCOL = {"actions", "widgets", "protocol"}
_STREAMING = _PROTOCOL | {"store", "streaming", "responder"}
_FACADE = {"types"}
# The same for each part of ``app/chatkit``.
ALLOWED_IN_CHATKIT = {
    **{leaf: set[str]() for leaf in CHATKIT_LEAVES},
    "alias": set[str](),
    "responder": _PROTOCOL | {"store"},
    "actions": set[str](),
    "widgets": {"actions"},
    "protocol": {"actions", "widgets"},
    "types": _PROTOCOL,
    "store": _PROTOCOL,
    "streaming": _PROTOCOL,
    "engine": _STREAMING,
    "action_routing": _STREAMING,
    "agents": _STREAMING | _FACADE,
    "server": _STREAMING | {"engine", "action_routing"} | _FACADE,
}
# The engine can be lifted out of this repository: no web framework, no database.
FOREIGN_TO_CHATKIT = {"fastapi", "starlette", "sqlalchemy", "sse_starlette", "asyncpg", "uvicorn"}


def imported_names(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            if node.module == "app":
                names |= {f"app.{alias.name}" for alias in node.names}
    return names


def part_of(path: Path) -> str:
    """Return which part of ``app`` a file belongs to."""
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path):
    part = part_of(path)
    if part == "__init__":
        return
    allowed = ALLOWED[part] | {part} | (LEAVES if part != "chatkit" else set())
    parts = {name.split(".")[1] for name in imported_names(path) if name.startswith("app.")}
    assert parts <= allowed, f"{part} must not import {', '.join(sorted(parts - allowed))}"


@pytest.mark.parametrize("path", CHATKIT_MODULES, ids=lambda path: str(path.relative_to(CHATKIT)))
def test_imports_point_downward_within_chatkit(path):
    part = path.relative_to(CHATKIT).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    allowed = ALLOWED_IN_CHATKIT[part] | {part} | CHATKIT_LEAVES
    names = (name.split(".") for name in imported_names(path))
    parts = {name[2] for name in names if name[:2] == ["app", "chatkit"] and name[2:]}
    assert parts <= allowed, f"{part} must not import {', '.join(sorted(parts - allowed))}"


@pytest.mark.parametrize("path", CHATKIT_MODULES, ids=lambda path: str(path.relative_to(CHATKIT)))
def test_the_engine_knows_no_framework_and_no_database(path):
    packages = {name.split(".")[0] for name in imported_names(path)}
    assert not packages & FOREIGN_TO_CHATKIT


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_inside_functions(path):
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                assert not isinstance(node, (ast.Import, ast.ImportFrom)), function.name
