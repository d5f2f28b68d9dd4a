"""Which versions of libraries are supported: stated where users look, and imported accordingly."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ("fastapi", "starlette", "pydantic", "openai", "openai-agents")
"""Libraries that integrators' code uses as well."""

WITHOUT_NEWER_NAMES = """
import agents
from agents import exceptions

for name in ("ModelRefusalError", "ModelTimeoutError", "ToolTimeoutError"):
    for module in (agents, exceptions):
        if hasattr(module, name):
            delattr(module, name)

import app.assistant.server
from app.chatkit.agents.provider_errors import classify_provider_error
from app.chatkit.agents.sdk_exceptions import ModelTimeoutError

assert classify_provider_error(exceptions.ModelBehaviorError("x")) is not None
assert issubclass(ModelTimeoutError, Exception)
"""


def floors() -> dict[str, str]:
    """Return the lowest version of each requirement of pyproject.toml that has one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = (re.match(r"([\w-]+)[^>]*>=([\d.]+)", each) for each in project["dependencies"])
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("name", SHARED)
def test_floor_is_in_the_readme_when_integrators_use_the_library(name: str) -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    assert re.search(rf"\b{name} {re.escape(floors()[name])}\b", text), (name, floors()[name])


def test_server_is_imported_when_the_agents_sdk_lacks_newer_names() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NEWER_NAMES], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
