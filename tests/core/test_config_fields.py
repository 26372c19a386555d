"""What every section has in common."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.core.config.fields import Section
from proxy.core.config.schema import (
    ConversationDone,
    Credential,
    Deployment,
    Fields,
    Health,
    Model,
    Server,
)
from proxy.core.config.usage import Budget, Limits, Price, Quota, Teams


def test_a_null_is_as_good_as_leaving_the_line_out() -> None:
    found = Quota.model_validate({"requests": None, "cron": None})

    assert found == Quota()
    assert found.model_fields_set == set()


@pytest.mark.parametrize("data", [{"request": 1}, {"request": None}, [], "text"])
def test_a_section_has_the_fields_it_has(data: object) -> None:
    with pytest.raises(ValidationError):
        Quota.model_validate(data)


def test_names_of_ones_own_are_checked_one_by_one() -> None:
    teams = Teams.model_validate({"a": {"rpm": 2}, "rpm": {}, "gone": None})

    assert teams.entries() == {"a": Limits(rpm=2), "rpm": Limits()}
    assert teams.model_fields_set == {"a", "rpm"}
    assert teams.model_dump(exclude_unset=True) == {"a": {"rpm": 2}, "rpm": {}}
    assert Teams.model_json_schema()["additionalProperties"] == {"$ref": "#/$defs/Limits"}


@pytest.mark.parametrize("data", [{"a": {"rmp": 2}}, {"a": 3}, ["a"], 4])
def test_and_nothing_else_is_taken(data: object) -> None:
    with pytest.raises(ValidationError):
        Teams.model_validate(data)


@pytest.mark.parametrize(
    ("written", "meant"), [("ON", "on"), (True, "on"), (False, "off"), (" masked ", "masked")]
)
def test_on_and_off_may_be_true_and_false(written: object, meant: str) -> None:
    found = Deployment.model_validate({"provider": "p", "health_check": written})

    assert found.health_check == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("none", []),
        (None, []),
        ([], []),
        (" Match", ["match"]),
        (["anchor", "match", "prefill"], ["anchor", "match", "prefill"]),
    ],
)
def test_ways_to_go_on_are_none_one_or_several(written: object, meant: list[str]) -> None:
    assert Model.model_validate({"continuation": written}).continuation == meant


@pytest.mark.parametrize("written", ["guess", ["match", "guess"], True, {"match": True}])
def test_there_are_three_ways_to_go_on(written: object) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"continuation": written})


@pytest.mark.parametrize("written", ["match", ["prefill", "anchor"], True])
def test_a_deployment_can_prefill_or_not(written: object) -> None:
    named = {"provider": "p"}
    assert Deployment.model_validate({**named, "continuation": "none"}).continuation == []
    found = Deployment.model_validate({**named, "continuation": "prefill"})
    assert found.continuation == ["prefill"]
    with pytest.raises(ValidationError):
        Deployment.model_validate({**named, "continuation": written})


@pytest.mark.parametrize("written", ["no", 1, "dear"])
def test_there_are_four_ways_to_be_checked(written: object) -> None:
    with pytest.raises(ValidationError):
        Deployment.model_validate({"provider": "p", "health_check": written})


@pytest.mark.parametrize("kind", [True, False])
@pytest.mark.parametrize(
    ("section", "name", "error"),
    [
        (Limits, "rpm", "int_type"),
        (Credential, "weight", "int_type"),
        (Server, "port", "int_type"),
        (Health, "mask_above", "float_type"),
        (Budget, "usd", "float_type"),
        (Price, "input", "float_type"),
    ],
)
def test_a_number_is_neither_true_nor_false(
    section: type[Section], name: str, error: str, kind: bool
) -> None:
    with pytest.raises(ValidationError) as caught:
        section.model_validate({name: kind})

    kinds = {one["loc"]: one["type"] for one in caught.value.errors()}
    bounds = {error, "greater_than_equal", "greater_than"}
    assert kinds[(name,)] in ({error} if kind else bounds)


@pytest.mark.parametrize("value", [[False, True], [0, True]])
def test_bounds_are_numbers(value: object) -> None:
    with pytest.raises(ValidationError):
        Fields.model_validate({"clamp": {"temperature": value}})


def test_what_may_be_anything_may_be_true() -> None:
    assert ConversationDone.model_validate({"path": "done", "equals": True}).equals is True
    assert Limits.model_validate({"rpm": "3"}).rpm == 3
