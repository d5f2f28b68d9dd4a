"""All scenarios by name."""

from tests.conformance.harness import Scenario

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under the name of its function."""
    name = function.__name__
    assert name not in SCENARIOS, f"there are two scenarios called {name}"
    SCENARIOS[name] = function
    return function
