"""The API for applications as the OpenAPI document has it."""

from __future__ import annotations

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from proxy.control.admin.surface import OPERATIONS, paths
from proxy.gateway import endpoints


def test_every_path_that_is_served_is_described_and_no_other() -> None:
    assert set(OPERATIONS) == set(endpoints.paths())


def test_examples_fit_their_schemas() -> None:
    for path, method, operation in paths(endpoints.paths()):
        for body in operation.get("requestBody", {}).get("content", {}).values():
            Draft202012Validator.check_schema(body["schema"])
            if "example" in body:
                errors = list(Draft202012Validator(body["schema"]).iter_errors(body["example"]))
                assert errors == [], f"{method} {path}"


def test_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in paths(endpoints.paths())]

    assert len(ids) == len(set(ids))


def test_what_is_not_known_is_shown_all_the_same() -> None:
    [(path, method, operation)] = paths(["POST /v9/{name}/new"])

    assert (path, method) == ("/v9/{name}/new", "post")
    assert operation["parameters"][0]["name"] == "name"
