"""The OpenAPI document against a real server: whatever fits it, or just not, is answered by it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
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


def create_document() -> dict[str, Any]:
    """Return the document; no database is asked for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "configure_logging", lambda _: None)
        return main.create_app(settings_for("postgresql://nobody@localhost/none")).openapi()


DOCUMENT = create_document()
OPERATIONS = {
    each.ok().label: each.ok()
    for each in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
}


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


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_of_those_that_are_documented(
    api: Api, fuzzed: Replica, label: str
) -> None:
    operation = OPERATIONS[label]
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


def operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.parametrize(("label", "operation"), operations(), ids=lambda value: str(value)[:60])
def test_operation_is_described(label: str, operation: dict[str, Any]) -> None:
    tags = {each["name"] for each in DOCUMENT["tags"]}
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
    body = DOCUMENT["paths"]["/chatkit"]["post"]["requestBody"]["content"]["application/json"]
    assert len(body["schema"]["discriminator"]["mapping"]) == len(body["schema"]["oneOf"]) == 16
    for example in body["examples"].values():
        assert example["value"]["type"] in body["schema"]["discriminator"]["mapping"]
    assert "ThreadsCreateReq" in DOCUMENT["components"]["schemas"]
