"""Any group, made and changed in any way, is then shown as it was asked for, and leaves nothing when it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin.access import Principal, Role
from proxy.control.admin.compat import grouping, regrouping
from proxy.control.admin.compat.grouping import Group
from proxy.control.admin.compat.spelled import read
from proxy.control.admin.compat.vendors import masked
from proxy.control.admin.draft import Draft
from proxy.control.admin.edits import Create, Delete, Edit, Update
from proxy.control.admin.ground import Means
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.web import Fault, Problem
from proxy.core.config.loading import parse
from proxy.core.records import Kind
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.state.mirror import Mirror

VAULT = Vault([Secret("a master key for tests, of no use to anyone 7f3a9c1e5b2d8064")])
CONFIG = parse("{}").config
MEANS = Means(Principal("token", Role.OWNER), CONFIG, VAULT, (), {})

NAMES = st.sampled_from(["one", "two", "three"])
MODELS = st.lists(st.sampled_from(["a", "b", "c/d", "7", "ü 1"]), unique=True, max_size=4)
KEYS = st.lists(
    st.sampled_from([f"sk-a-key-of-some-length-{n:04}" for n in range(6)]), unique=True, max_size=3
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "apiKeys": KEYS,
    "models": MODELS,
    "balancePolicy": st.sampled_from(["round_robin", "random", "least_used"]),
    "retryCount": st.integers(0, 20),
    "timeout": st.integers(1, 600),
    "priority": st.integers(0, 9),
    "enabled": st.booleans(),
    "parameters": st.dictionaries(
        st.sampled_from(["temperature", "top_p", "response_format"]),
        st.floats(0, 1) | st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), min_size=1),
    ),
    "description": st.sampled_from(["x", "for tests"]),
}
KIND = {"providerType": st.sampled_from(["openai", "anthropic", "gemini"])}
BODIES = st.fixed_dictionaries(KIND, optional=FIELDS)
CHANGES = st.fixed_dictionaries(
    {}, optional={**FIELDS, "groupName": NAMES}
) | st.fixed_dictionaries(
    # Keys do not go along to another vendor.
    {**KIND, "apiKeys": KEYS},
    optional={name: each for name, each in FIELDS.items() if name != "apiKeys"},
)


class Shelf:
    """Objects in memory, changed as a store's are."""

    def __init__(self) -> None:
        self.mirror = Mirror()

    def do(self, edits: list[Edit]) -> int:
        """Apply them; the id of the first object."""
        draft = Draft(Overlay(self.mirror), self.mirror.revision, MEANS)
        written = [draft.do(edit) for edit in edits]
        self.mirror.apply(draft.records.values())
        return written[0].record.id if written else 0

    def create(self, body: Mapping[str, Any]) -> Group:
        plan = regrouping.create(read(body, grouping.FIELDS), self.mirror, {})
        return self.group(self.do(plan.edits))

    def replace(self, group: Group, body: Mapping[str, Any]) -> Group:
        said = read(body, grouping.FIELDS, ignored=grouping.ANSWERED)
        self.do(regrouping.replace(group, said, self.mirror, {}).edits)
        return self.group(group.provider.id)

    def remove(self, group: Group) -> None:
        self.do(regrouping.remove(group, self.mirror).edits)

    def group(self, id: int) -> Group:
        return grouping.stored(self.mirror.records[Kind.PROVIDER][id], self.mirror, VAULT)

    def count(self) -> int:
        return sum(map(len, self.mirror.records.values()))


def agrees(shown: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Whether a group is as it was asked for."""
    has_models = bool(shown["models"])
    for field, value in body.items():
        if field == "apiKeys":
            assert sorted(shown[field]) == sorted(masked(key) for key in value)
        elif field == "models":
            assert sorted(shown[field]) == sorted(value)
        elif field not in ("balancePolicy", "priority") or has_models:
            assert shown[field] == value, field


@given(NAMES, BODIES)
def test_a_group_is_shown_as_it_was_made(name: str, body: dict[str, Any]) -> None:
    shelf = Shelf()
    agrees(grouping.shown(shelf.create({"groupName": name, **body})), {"groupName": name, **body})


@given(BODIES, st.lists(CHANGES, max_size=4))
def test_what_a_change_says_is_so_and_the_rest_is_as_before(
    body: dict[str, Any], changes: list[dict[str, Any]]
) -> None:
    shelf = Shelf()
    group = shelf.create({"groupName": "group", **body})
    for change in changes:
        before = grouping.shown(group)

        group = shelf.replace(group, change)

        after = grouping.shown(group)
        agrees(after, change)
        untouched = before.keys() - change.keys() - {"updatedAt", "baseUrl"}
        if not before["models"] or not after["models"]:
            untouched -= {"balancePolicy", "priority"}
        assert {name: after[name] for name in untouched} == {
            name: before[name] for name in untouched
        }


@given(BODIES, CHANGES)
def test_what_is_shown_may_be_sent_back(body: dict[str, Any], change: dict[str, Any]) -> None:
    shelf = Shelf()
    group = shelf.create({"groupName": "group", **body})
    shown = grouping.shown(group)
    revision = shelf.mirror.revision

    again = grouping.shown(shelf.replace(group, shown))

    assert {**again, "updatedAt": ""} == {**shown, "updatedAt": ""}
    objects = shelf.mirror.records
    # What the body did not say was said by the answer: the fields that stand for the usual are written down once.
    assert {record.id for kind in objects.values() for record in kind.values()} <= set(
        range(revision + 1)
    )


@given(BODIES, BODIES, CHANGES)
def test_a_group_that_goes_leaves_nothing_and_takes_nothing_of_others(
    body: dict[str, Any], others: dict[str, Any], change: dict[str, Any]
) -> None:
    shelf = Shelf()
    other = shelf.create({"groupName": "other", **others})
    expected, count = grouping.shown(other), shelf.count()
    group = shelf.create({"groupName": "group", **body})

    shelf.remove(shelf.replace(group, change))

    assert grouping.shown(shelf.group(other.provider.id)) == expected
    assert shelf.count() == count


def test_a_model_that_is_called_a_number_is_not_taken_for_an_id() -> None:
    shelf = Shelf()
    group = shelf.create({"groupName": "group", "providerType": "openai", "models": ["a"]})
    id = str(group.models[0].model.id)

    second = shelf.create({"groupName": "second", "providerType": "openai", "models": [id]})

    assert grouping.shown(second)["models"] == [id]
    assert grouping.shown(shelf.group(group.provider.id))["models"] == ["a"]


def test_what_somebody_changed_meanwhile_is_not_written_over_by_a_new_name() -> None:
    shelf = Shelf()
    group = shelf.create({"groupName": "group", "providerType": "openai", "models": ["a"]})
    said = read({"groupName": "renamed"}, grouping.FIELDS)
    plan = regrouping.replace(group, said, shelf.mirror, {})
    deployment = group.models[0].deployments[0]
    shelf.do([Update(Kind.DEPLOYMENT, str(deployment.id), {"enabled": False}, merge=True)])

    with pytest.raises(Problem) as caught:
        shelf.do(plan.edits)

    assert caught.value.status == 412


@pytest.mark.parametrize("change", [None, {"models": []}])
def test_a_model_that_another_began_to_serve_meanwhile_does_not_go(change: Any) -> None:
    shelf = Shelf()
    group = shelf.create({"groupName": "group", "providerType": "openai", "models": ["a"]})
    plan = (
        regrouping.remove(group, shelf.mirror)
        if change is None
        else regrouping.replace(group, read(change, grouping.FIELDS), shelf.mirror, {})
    )
    second = shelf.create({"groupName": "second", "providerType": "openai", "models": ["a"]})

    with pytest.raises(Problem) as caught:
        shelf.do(plan.edits)

    assert (caught.value.status, caught.value.code) == (409, "conflict")
    assert grouping.shown(shelf.group(second.provider.id))["models"] == ["a"]
    shelf.remove(shelf.group(group.provider.id))
    assert grouping.shown(shelf.group(second.provider.id))["models"] == ["a"]


EDITS: list[Edit] = [
    Create(Kind.PROVIDER, "p", {}),
    Create(Kind.CREDENTIAL, "", {}, "@0"),
    Create(Kind.MODEL, "m", {}),
    Update(Kind.DEPLOYMENT, "7", {}),
    Delete(Kind.SETTING, "x"),
]


@pytest.mark.parametrize(
    ("field", "theirs"),
    [
        ("[0].retry.count", "retryCount"),
        ("[0].name", "groupName"),
        ("[0]", "groupName"),
        ("[0].dialects[0]", "groupName"),
        ("[1].key", "apiKeys"),
        ("[2].strategy", "balancePolicy"),
        ("[2].name", "models"),
        ("[3].priority", "priority"),
        ("[3]", "models"),
        ("[4].level", "level"),
        ("[9].level", "[9].level"),
        ("[x].level", "[x].level"),
        ("retry.count", "retryCount"),
        ("", "groupName"),
    ],
)
def test_what_is_wrong_has_the_callers_name(field: str, theirs: str) -> None:
    problem = Problem(400, "invalid", "…", (Fault(field, "no"),), {"x": "y"})

    said = regrouping.in_their_words(problem, EDITS)

    assert said.faults == (Fault(theirs, "no"),)
    assert (said.status, said.code, said.detail, said.headers) == (400, "invalid", "…", {"x": "y"})


@given(st.text(max_size=12))
def test_any_field_has_some_name(field: str) -> None:
    problem = Problem(400, "invalid", "…", (Fault(field, "no"),))

    assert len(regrouping.in_their_words(problem, EDITS).faults) == 1
