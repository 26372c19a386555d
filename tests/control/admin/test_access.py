"""Roles: what each may, whose keys it may touch, and what it may give to others."""

from __future__ import annotations

from itertools import product

import pytest

from proxy.control.admin.access import (
    GRANTS,
    Permission,
    Principal,
    Role,
    may_grant,
    may_touch,
    role_of,
)

P = Permission


def somebody(role: Role, team: str = "", scopes: frozenset[Permission] | None = None) -> Principal:
    return Principal("somebody", role, team, scopes)


def test_only_an_owner_has_to_do_with_users() -> None:
    assert [role for role in Role if P.USERS in GRANTS[role]] == [Role.OWNER]


def test_every_role_is_granted_something_and_none_but_the_owner_everything() -> None:
    assert GRANTS.keys() == set(Role)
    assert [role for role in Role if GRANTS[role] == set(Permission)] == [Role.OWNER]


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        (Role.OPERATOR, P.CONFIGURE),
        (Role.OPERATOR, P.AUDIT),
        (Role.VIEWER, P.KEYS),
        (Role.VIEWER, P.OPERATE),
        (Role.KEY_MANAGER, P.READ),
        (Role.METRICS, P.READ),
        (Role.METRICS, P.SELF),
    ],
)
def test_what_a_role_must_not(role: Role, permission: Permission) -> None:
    assert not somebody(role).may(permission)


def test_scopes_take_away_and_never_give() -> None:
    scoped = somebody(Role.VIEWER, scopes=frozenset({P.READ, P.CONFIGURE}))

    assert scoped.may(P.READ)
    assert not scoped.may(P.METRICS)
    assert not scoped.may(P.CONFIGURE)
    assert scoped.permissions == {P.READ}


@pytest.mark.parametrize(
    ("principal", "touches"),
    [
        (somebody(Role.OWNER), {"", "red", "blue"}),
        (somebody(Role.KEY_MANAGER, "red"), {"red"}),
        (somebody(Role.OPERATOR, "red"), {"red"}),
        (somebody(Role.OPERATOR), {"", "red", "blue"}),
        # It is the role for a team; without one it would be the role for all of them.
        (somebody(Role.KEY_MANAGER), set()),
    ],
)
def test_whose_keys_one_may_touch(principal: Principal, touches: set[str]) -> None:
    assert {team for team in ("", "red", "blue") if may_touch(principal, team)} == touches


def test_nobody_gives_what_they_do_not_have() -> None:
    for mine, theirs in product(Role, Role):
        given = somebody(theirs).permissions - {P.PUBLIC, P.SELF}
        assert may_grant(somebody(mine), theirs, "") == (given <= somebody(mine).permissions)


def test_scopes_bound_what_is_given() -> None:
    only_users = somebody(Role.OWNER, scopes=frozenset({P.USERS}))

    assert not may_grant(only_users, Role.OWNER, "")
    assert not may_grant(only_users, Role.VIEWER, "")
    assert may_grant(only_users, Role.OWNER, "", frozenset({P.USERS}))


def test_who_is_of_a_team_makes_nobody_outside_it() -> None:
    of_red = somebody(Role.OWNER, "red")

    assert may_grant(of_red, Role.KEY_MANAGER, "red")
    assert not may_grant(of_red, Role.KEY_MANAGER, "blue")
    assert not may_grant(of_red, Role.OWNER, "")


def test_a_role_of_another_version_is_none() -> None:
    assert role_of("owner") is Role.OWNER
    assert role_of("emperor") is None
