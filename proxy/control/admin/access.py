"""Who may do what: five roles and one for teams, each a set of permissions. What is not granted is denied."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from proxy.control.admin.web import Problem
from proxy.core.secret import Secret


class Permission(StrEnum):
    """What a route asks for. `PUBLIC` is for liveness and login alone."""

    PUBLIC = "public"
    METRICS = "metrics"
    READ = "read"
    """Configuration without secrets, status, statistics, logs."""
    KEYS = "keys"
    """Virtual keys: all of them, or those of the own team (`Principal.team`)."""
    OPERATE = "operate"
    """Models, deployments; enable and disable; reload, resets, caches."""
    CONFIGURE = "configure"
    """Providers, credentials, groups, settings, import, export: all that holds or moves secrets."""
    AUDIT = "audit"
    USERS = "users"
    """Users, service tokens, sessions of others."""
    SELF = "self"
    """One's own session and password; everybody who is somebody."""


class Role(StrEnum):
    """What a user or a service token is."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    KEY_MANAGER = "key_manager"
    VIEWER = "viewer"
    METRICS = "metrics"


def role_of(text: str) -> Role | None:
    """The role a row of the store names; None for one that this version does not know, which is nobody's."""
    try:
        return Role(text)
    except ValueError:
        return None


_P = Permission
GRANTS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(_P),
    Role.ADMIN: frozenset(_P) - {_P.USERS},
    Role.OPERATOR: frozenset({_P.PUBLIC, _P.SELF, _P.METRICS, _P.READ, _P.OPERATE, _P.KEYS}),
    Role.KEY_MANAGER: frozenset({_P.PUBLIC, _P.SELF, _P.KEYS}),
    Role.VIEWER: frozenset({_P.PUBLIC, _P.SELF, _P.METRICS, _P.READ}),
    Role.METRICS: frozenset({_P.PUBLIC, _P.METRICS}),
}
_EVERYBODYS = frozenset({_P.PUBLIC, _P.SELF})


class Principal(Struct, frozen=True):
    """Who asks."""

    name: str
    """For the audit log: `token`, `user:anna`, `service:ci`, `anonymous`."""
    role: Role
    team: str = ""
    """Not empty: only the keys of this team."""
    scopes: frozenset[Permission] | None = None
    """Of a service token: what is left of its role; None: all."""
    session: str = ""
    """The hash of its session, if it came with one; then it owes a CSRF token for changes."""
    csrf: Secret | None = None
    """That token."""
    user: int = 0
    """The row of its user; 0: the configuration's own, a service token, or nobody."""

    def may(self, permission: Permission) -> bool:
        """Whether it has a permission."""
        return permission in GRANTS[self.role] and (
            self.scopes is None or permission in self.scopes
        )

    @property
    def permissions(self) -> frozenset[Permission]:
        """All it may."""
        granted = GRANTS[self.role]
        return granted if self.scopes is None else granted & self.scopes


def may_touch(principal: Principal, team: str) -> bool:
    """Whether it may see and change a virtual key of this team (empty: of no team).

    This is about whose key it is; that it may have to do with keys at all is `Permission.KEYS`.
    """
    if principal.role is Role.KEY_MANAGER and not principal.team:
        return False
    return not principal.team or principal.team == team


def may_grant(
    principal: Principal, role: Role, team: str, scopes: frozenset[Permission] | None = None
) -> bool:
    """Whether it may make somebody who can do this, or have power over one: nobody gives what they do not have."""
    given = Principal("", role, team, scopes)
    if principal.team and principal.team != team:
        return False
    return given.permissions - _EVERYBODYS <= principal.permissions


def needs_power(
    principal: Principal, role: str, team: str, scopes: frozenset[Permission] | None = None
) -> None:
    """Raises Problem 403 for a role of the store that has, or is to have, more rights than who asks."""
    known = role_of(role)
    if known is None or not may_grant(principal, known, team, scopes):
        raise Problem(403, "forbidden", "Nobody has to do with more rights than their own.")
