"""The admin API against its own description: a real server, and requests made from the OpenAPI document.

Some that fit it and some that do not. None may fail the server, and every answer has to be one that is described.
What else a body has to be (names that exist, addresses that may be called) no schema can say, so a request that
fits may well be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.control.admin.desk import MASTER, TOKEN
from tests.line.harness import Process, free_port

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 3
"""For each route, fitting and not."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`headrace serve`, with some objects; the admin API's URL."""
    folder: Path = tmp_path_factory.mktemp("conformance")
    port = free_port()
    content = {
        "server": {"host": "127.0.0.1", "port": 0},
        "admin": {"port": port, "token": TOKEN},
        "secrets": {"keys": [MASTER]},
    }
    process = Process(content, folder)
    url = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {TOKEN}"
        for path, body in STOCK:
            assert session.post(url + path, json=body, timeout=10).status_code == 201
    yield url
    assert process.stop() == 0
    assert not [line for line in process.lines if "Traceback" in line], "".join(process.lines)


ENDLESS = {"/admin/live", "/admin/logs/live"}
"""Answers that go on while somebody reads them: `test_live` and `test_log_live` are about those."""

STOCK: list[tuple[str, Any]] = [
    (
        "/admin/providers",
        {
            "name": "lab",
            "base_url": "http://127.0.0.1:9",
            "allow_private": True,
            "credentials": ["sk-credential-of-lab-1234"],
        },
    ),
    ("/admin/models", {"name": "m", "deployments": [{"provider": "lab"}]}),
    ("/admin/keys", {"name": "app"}),
]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_api_is_what_it_says(server: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{server}/openapi.json")
    asked = 0
    wrong: list[str] = []

    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {TOKEN}"

        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            response = case.call(session=session, timeout=20)
            case.validate_response(response, checks=CHECKS)

        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if "x-alias-of" in operation.definition.raw or "x-listener" in operation.definition.raw:
                continue  # another path to what is asked under its own; or what is on the other port
            if "text/event-stream" in str(operation.definition.raw["responses"].get("200")):
                continue  # it ends when the client does
            try:
                _examples(operation.as_strategy(generation_mode=mode))(ask)()
            except Unsatisfiable:
                pass  # nothing about it could be wrong
            except FailureGroup as group:
                wrong += [f"{operation.label}: {failure}" for failure in group.exceptions]

    assert not wrong, "\n\n".join(wrong)
    assert asked > 100


def _examples(cases: SearchStrategy[Any]) -> Any:
    """Runs a test with a few of them, the same each time."""

    def decorated(test: Any) -> Any:
        few = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        return seed(1)(few(given(case=cases)(test)))

    return decorated
