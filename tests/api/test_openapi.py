"""The OpenAPI document against a real server: whatever fits it, or just not, is answered by it."""

import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import APIRouter
from fastapi.routing import APIRoute
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import app.api as api_package
from app import main
from tests.support.databases import settings_for
from tests.support.replica import Page, Replica
from tests.support.servers import SERVER_KEY

EXAMPLES = 25
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


# By the routes and not by the document, which takes a second to make.
LABELS = sorted(
    f"{method} {route.path}"
    for module in iter_modules(api_package.__path__)
    for route in getattr(import_module(f"app.api.{module.name}"), "router", APIRouter()).routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in route.methods
)


@functools.cache
def create_document() -> dict[str, Any]:
    """Return the document; no database is asked for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "configure_logging", lambda _: None)
        return main.create_app(settings_for("postgresql://nobody@localhost/none")).openapi()


@functools.cache
def load_operations() -> dict[str, Any]:
    """Return the document's operations by what they are called."""
    loaded = schemathesis.openapi.from_dict(create_document()).get_all_operations()
    return {each.ok().label: each.ok() for each in loaded}


@dataclass(frozen=True)
class Api:
    """A server, a page's secret, and a thread that the secret opens."""

    url: str
    secret: str
    thread_id: str

    def key_of(self, operation: dict[str, Any]) -> str:
        """Return what the document says opens the operation."""
        schemes = [name for each in operation.get("security", []) for name in each]
        return SERVER_KEY if "server_key" in schemes else self.secret


@pytest.fixture(scope="module")
async def fuzzed(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replica]:
    """A server process that nothing is too much for."""
    replica = Replica(
        database_url,
        tmp_path_factory.mktemp("openapi"),
        server_api_keys=f"tests:{SERVER_KEY}",
        session_requests_per_minute=0,
        user_requests_per_minute=0,
        user_concurrent_runs=0,
        thread_busy="reject",
        log_level="WARNING",
    )
    yield await replica.start()
    await replica.kill()


@pytest.fixture
async def api(fuzzed: Replica) -> Api:
    """The server, as somebody sees it who has just said something."""
    async with Page(fuzzed.url) as page:
        thread_id = (await page.create("Hello"))[0]["thread"]["id"]
        return Api(fuzzed.url, page.secret, thread_id)


@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_one_of_those_that_are_documented(
    api: Api, fuzzed: Replica, label: str
) -> None:
    operation = load_operations()[label]
    headers = {"Authorization": f"Bearer {api.key_of(operation.definition.raw)}"}
    modes = [GenerationMode.POSITIVE]
    if {"parameters", "requestBody"} & set(operation.definition.raw):
        modes.append(GenerationMode.NEGATIVE)  # else there is nothing to get wrong
    cases = [operation.as_strategy(mode) for mode in modes]

    @hypothesis.seed(20261121)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=st.one_of(cases), mine=st.booleans())
    def run(case: schemathesis.Case, mine: bool) -> None:
        if mine:
            name_thread(case, api.thread_id)
        response = case.call(base_url=api.url, headers=headers, timeout=20)
        case.validate_response(response, checks=CHECKS)

    run()
    assert "Traceback" not in fuzzed.log


def name_thread(case: schemathesis.Case, thread_id: str) -> None:
    """Let the case be about a thread that exists, where it is about one."""
    parts = [case.path_parameters, case.body.get("params") if isinstance(case.body, dict) else None]
    for part in parts:
        if isinstance(part, dict) and "thread_id" in part:
            part["thread_id"] = thread_id


# --- the document itself -------------------------------------------------------------------------


def test_every_route_is_in_the_document() -> None:
    assert sorted(load_operations()) == LABELS


@pytest.mark.parametrize("label", LABELS)
def test_operation_is_described(label: str) -> None:
    document = create_document()
    method, path = label.split()
    operation = document["paths"][path][method.lower()]
    tags = {each["name"] for each in document["tags"]}
    assert set(operation["tags"]) <= tags
    assert operation["description"]
    assert "422" not in operation["responses"] or label.startswith(
        ("POST /chatkit", "POST /api/up", "PUT /api/up")
    )
    for status, answer in operation["responses"].items():
        assert answer["description"] != "Validation Error"
        if int(status) >= 400:
            assert answer["content"]["application/json"]["schema"]
    assert ("security" in operation) == (
        label not in ("POST /api/chatkit/session", "GET /healthz", "GET /readyz")
        and not label.endswith("/{token}")
    )


def test_chatkit_names_every_request() -> None:
    document = create_document()
    body = document["paths"]["/chatkit"]["post"]["requestBody"]["content"]["application/json"]
    assert len(body["schema"]["discriminator"]["mapping"]) == len(body["schema"]["oneOf"]) == 16
    for example in body["examples"].values():
        assert example["value"]["type"] in body["schema"]["discriminator"]["mapping"]
    assert "ThreadsCreateReq" in document["components"]["schemas"]
