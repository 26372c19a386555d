"""Virtual keys: which may be given, and whose they may be."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin import issue
from proxy.control.admin.access import Principal, Role
from proxy.control.admin.web import Problem
from proxy.core import virtual_key
from proxy.core.virtual_key import Pepper

PEPPERS = (Pepper("p1", b"x" * 32), Pepper("p0", b"y" * 32))
OWNER = Principal("owner", Role.OWNER)
RED = Principal("red", Role.KEY_MANAGER, team="red")


def test_a_new_key_is_ours_and_kept_under_the_first_pepper() -> None:
    key, private = issue.issue(None, PEPPERS)

    [kept] = virtual_key.digests(private)
    assert virtual_key.is_wellformed(key.reveal())
    assert kept.digest == virtual_key.digest(key.reveal(), PEPPERS[0]).hex()
    assert issue.digests(key, PEPPERS)[0].hex() == kept.digest
    assert len(issue.digests(key, PEPPERS)) == 2


def test_a_given_key_is_kept_as_it_is() -> None:
    key, private = issue.issue("my-old-key-123456", PEPPERS)

    assert key.reveal() == "my-old-key-123456"
    assert virtual_key.digests(private)[0].last4 == "3456"


@pytest.mark.parametrize(
    "given", ["x" * 40, "short", "", 7, True, ["k"], "a b c d e f g h i j k l", "k" * 8 + "é" * 9]
)
def test_a_weak_key_is_refused_without_being_shown(given: Any) -> None:
    with pytest.raises(Problem) as caught:
        issue.issue(given, PEPPERS)

    assert (caught.value.status, caught.value.faults[0].field) == (400, "key")
    assert not given or str(given) not in caught.value.faults[0].message


def test_a_token_of_the_admin_api_is_no_virtual_key() -> None:
    token = virtual_key.mint(virtual_key.ADMIN_PREFIX).reveal()

    with pytest.raises(Problem):
        issue.issue(token, PEPPERS)


def test_without_peppers_there_are_no_keys() -> None:
    with pytest.raises(Problem) as made:
        issue.issue(None, ())
    with pytest.raises(Problem) as replaced:
        issue.rotate(b"", 0, (), 0.0)

    assert made.value.code == replaced.value.code == "no_master_key"


@pytest.mark.parametrize("overlap", [-1, issue.LONGEST_OVERLAP + 1, float("nan"), float("inf")])
def test_an_old_key_does_not_stay_for_ever(overlap: float) -> None:
    with pytest.raises(Problem) as caught:
        issue.rotate(b"", overlap, PEPPERS, 0.0)

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("who", "before", "after", "status"),
    [
        (OWNER, None, {}, 0),
        (OWNER, {"team": "blue"}, {"team": "red", "owner": "x"}, 0),
        (RED, None, {"team": "red"}, 0),
        (RED, None, {}, 403),
        (RED, None, {"team": "blue"}, 403),
        (RED, {"team": "red"}, {"team": "red"}, 0),
        (RED, {"team": "red"}, {}, 403),
        (RED, {"team": "red", "owner": "a"}, {"team": "red", "owner": "b"}, 403),
        (RED, {"team": "red"}, {"team": "red", "owner": ""}, 0),
        (Principal("lost", Role.KEY_MANAGER), {}, {}, 403),
        (
            Principal("admin", Role.ADMIN, team="red"),
            {"team": "red"},
            {"team": "red", "owner": "b"},
            0,
        ),
        (Principal("admin", Role.ADMIN, team="red"), {"team": "red"}, {"team": "blue"}, 403),
    ],
)
def test_whose_a_key_may_be(who: Principal, before: Any, after: Any, status: int) -> None:
    if status == 0:
        issue.check_owner(who, before, after)
        return
    with pytest.raises(Problem) as caught:
        issue.check_owner(who, before, after)
    assert caught.value.status == status


def test_a_new_key_is_of_the_team_of_who_makes_it() -> None:
    assert issue.owned(RED, {"rpm": 1}) == {"rpm": 1, "team": "red"}
    assert issue.owned(RED, {"team": "blue"})["team"] == "blue"
    assert issue.owned(OWNER, {"rpm": 1}) == {"rpm": 1}
