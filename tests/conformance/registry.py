"""All scenarios by name."""

from importlib import import_module
from pathlib import Path

from tests.conformance.harness import Scenario

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under the name of its function."""
    name = function.__name__
    assert name not in SCENARIOS, f"there are two scenarios called {name}"
    SCENARIOS[name] = function
    return function


def load_scenarios() -> dict[str, Scenario]:
    """Return the scenarios of every module in ``scenarios``."""
    for path in sorted(Path(__file__).with_name("scenarios").glob("*.py")):
        import_module(f"tests.conformance.scenarios.{path.stem}")
    return SCENARIOS
