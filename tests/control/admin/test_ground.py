"""What has to be so before an edit may be made."""

from __future__ import annotations

import pytest

from proxy.control.admin.access import Principal, Role
from proxy.control.admin.edits import Create, Written
from proxy.control.admin.ground import Ground, Means
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.web import Problem
from proxy.core.config.loading import parse
from proxy.core.records import Kind, Record
from proxy.state.mirror import Mirror

CONFIG = parse("models: {filed: {deployments: []}}\nproviders: {}").config


@pytest.fixture
def ground() -> Ground:
    mirror = Mirror()
    mirror.apply(
        [
            Record(Kind.PROVIDER, 1, 1, "p"),
            Record(Kind.MODEL, 2, 2, "m"),
            Record(Kind.CREDENTIAL, 3, 3, parent=1),
        ]
    )
    means = Means(Principal("me", Role.OWNER), CONFIG, None, (), {b"known": None})  # type: ignore[dict-item]
    return Ground(Overlay(mirror), means)


def code(caught: pytest.ExceptionInfo[Problem]) -> str:
    return caught.value.code


def test_an_object_is_found_by_id_or_name_at_the_version_that_is_asked_for(ground: Ground) -> None:
    assert ground.find("model", "m", 2) is ground.find("model", "2", None)
    for target, if_match, expected in (
        ("none", None, "not_found"),
        ("filed", None, "read_only"),
        ("m", 1, "precondition_failed"),
    ):
        with pytest.raises(Problem) as caught:
            ground.find("model", target, if_match)
        assert code(caught) == expected


@pytest.mark.parametrize(("team", "expected"), [("red", "read_only"), ("blue", "not_found")])
def test_a_key_in_the_file_is_there_for_its_own_team(team: str, expected: str) -> None:
    config = parse("keys: [{name: filed, key: a-key-of-the-file, team: red}]").config
    means = Means(Principal("me", Role.KEY_MANAGER, team), config, None, (), {})

    with pytest.raises(Problem) as caught:
        Ground(Overlay(Mirror()), means).find("key", "filed", None)

    assert code(caught) == expected


def test_what_a_new_object_belongs_to(ground: Ground) -> None:
    model = ground.find("model", "m", None)
    made = [Written(model), None]

    assert ground.parent(Create("model", "x", {}), []) is None
    assert ground.parent(Create("deployment", "", {}, "m"), []) is model
    assert ground.parent(Create("deployment", "", {}, "2"), []) is model
    assert ground.parent(Create("deployment", "", {}, "@0"), made) is model
    # The first edit was refused; the second is not to blame for that.
    assert ground.parent(Create("deployment", "", {}, "@0"), [None, None]) is None
    assert ground.parent_of(ground.find("credential", "3", None)) is ground.find(
        "provider", "p", None
    )
    assert ground.parent_of(model) is None


@pytest.mark.parametrize("parent", ["", "none", "@1", "@7", "p", "@x"])
def test_what_it_cannot_belong_to(ground: Ground, parent: str) -> None:
    with pytest.raises(Problem) as caught:
        ground.parent(Create("deployment", "", {}, parent), [None, None])

    assert [fault.field for fault in caught.value.faults] == ["public_model"]


def test_an_earlier_edit_has_to_have_made_the_right_kind(ground: Ground) -> None:
    made = [Written(ground.find("provider", "p", None)), None]

    with pytest.raises(Problem):
        ground.parent(Create("deployment", "", {}, "@0"), made)


def test_a_name_is_free_or_somebodys(ground: Ground) -> None:
    ground.free("model", "new")
    ground.free("model", "m", but=2)
    ground.free("credential", "")
    for kind, name, expected in (
        ("model", "m", "conflict"),
        ("model", "filed", "read_only"),
        ("model", "", "invalid"),
        ("credential", "x", "invalid"),
    ):
        with pytest.raises(Problem) as caught:
            ground.free(kind, name)
        assert code(caught) == expected


def test_a_key_is_nobodys_yet_and_then_it_is(ground: Ground) -> None:
    ground.unknown([b"one", b"two"])

    for digest in (b"two", b"known"):
        with pytest.raises(Problem) as caught:
            ground.unknown([digest])
        assert code(caught) == "conflict"


def test_a_body_is_checked_as_the_file_is(ground: Ground) -> None:
    checked = ground.check("model", "new", {"aliases": ["n"], "fallbacks": ["filed"]}, None)

    assert checked.spec == {"aliases": ["n"], "fallbacks": ["filed"]}
    with pytest.raises(Problem) as caught:
        ground.check("model", "new", {"aliases": ["m"], "nothing": 1}, None)
    assert {fault.field for fault in caught.value.faults} == {"aliases[0]", "nothing"}
