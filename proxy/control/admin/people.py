"""Rows of `users`: people who sign in with a password, and what has to be so of them.

The account of the configuration (`admin.username`) is none of these rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct
from pydantic import Field, SecretStr

from proxy.control.admin import sessions
from proxy.control.admin.access import Role
from proxy.control.admin.passwords import LONGEST, SHORTEST
from proxy.control.admin.web import Fault, Problem
from proxy.core.clock import now
from proxy.core.records import is_id
from proxy.store.base import ADMIN_TIMEOUT

if TYPE_CHECKING:
    from proxy.core.model import Admin
    from proxy.store.base import Row, Session

Password = Annotated[SecretStr, Field(min_length=SHORTEST, max_length=LONGEST)]


class User(Struct, frozen=True):
    """One row."""

    id: int
    name: str
    role: str
    team: str
    enabled: bool
    created: float
    updated: float
    changed: float
    """Unix time of its last new password."""

    @property
    def is_owner(self) -> bool:
        """Whether it can do everything. One with a team has to do with that alone."""
        return self.enabled and self.role == Role.OWNER.value and not self.team

    def shown(self) -> dict[str, Any]:
        """All but the password."""
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "team": self.team,
            "enabled": self.enabled,
            "created": self.created,
            "updated": self.updated,
            "password_changed": self.changed,
        }


_SELECT = "SELECT id, name, role, team, enabled, created, updated, changed FROM users"
_ALL, _BY_ID, _BY_NAME = (
    _SELECT + " ORDER BY name",
    _SELECT + " WHERE id = $1",
    _SELECT + " WHERE name = $1",
)


async def every(session: Session) -> list[User]:
    """All of them, by name. Raises StoreDown."""
    return [_user(row) for row in await session.fetch(_ALL, timeout=ADMIN_TIMEOUT)]


async def find(session: Session, id: str) -> User:
    """By id or name. Raises Problem 404, StoreDown."""
    by_id = is_id(id)
    rows = await session.fetch(
        _BY_ID if by_id else _BY_NAME,
        int(id) if by_id else id,
        timeout=ADMIN_TIMEOUT,
    )
    if not rows:
        raise Problem(404, "not_found", "There is no such user.")
    return _user(rows[0])


async def set_password(session: Session, user: int, kept: str) -> None:
    """A new password for a user, and an end to all its sessions. Raises StoreDown."""
    await session.execute(
        "UPDATE users SET password = $1, changed = $2, updated = $2 WHERE id = $3",
        kept,
        now(),
        user,
    )
    await sessions.end_all(session, user)


async def insert(session: Session, user: User, kept: str) -> int:
    """A new row; its id. `kept` is the hash of its password. Raises Duplicate, StoreDown."""
    rows = await session.fetch(
        "INSERT INTO users (name, password, role, team, enabled, created, updated, changed)"
        " VALUES ($1, $2, $3, $4, $5, $6, $6, $6) RETURNING id",
        user.name,
        kept,
        user.role,
        user.team,
        int(user.enabled),
        user.created,
    )
    id: int = rows[0][0]
    return id


async def update(session: Session, before: User, after: User, kept: str) -> None:
    """Another user in the place of one; `kept` is the hash of a new password, or nothing. Raises Duplicate, StoreDown."""
    await session.execute(
        "UPDATE users SET name = $1, role = $2, team = $3, enabled = $4, updated = $5 WHERE id = $6",
        after.name,
        after.role,
        after.team,
        int(after.enabled),
        after.updated,
        after.id,
    )
    if kept:
        await set_password(session, after.id, kept)
    elif (before.role, before.team, before.enabled) != (after.role, after.team, after.enabled):
        await sessions.end_all(session, after.id)


async def delete(session: Session, user: int) -> None:
    """A row away, and all its sessions. Raises StoreDown."""
    await session.execute("DELETE FROM users WHERE id = $1", user)
    await sessions.end_all(session, user)


async def keep_an_owner(session: Session, admin: Admin, user: User) -> None:
    """Raises Problem 409 when this is the last one. The lock is held, so no two go at once."""
    if not user.is_owner or admin.password is not None:
        return
    rows = await session.fetch(
        "SELECT id FROM users WHERE role = $1 AND enabled = 1 AND team = '' AND id <> $2 LIMIT 1",
        Role.OWNER.value,
        user.id,
    )
    if not rows:
        raise Problem(409, "last_owner", "This is the last owner. Make another one first.")


def check_password(password: SecretStr, name: str) -> None:
    """Raises Problem 400 for one that is tried first."""
    text = password.get_secret_value()
    if text.casefold() == name.casefold() or len(set(text)) == 1:
        fault = Fault("password", "too easy to guess")
        raise Problem(400, "invalid", "The body is not as it has to be.", (fault,))


def _user(row: Row) -> User:
    id, name, role, team, enabled, created, updated, changed = row
    return User(id, name, role, team, bool(enabled), created, updated, changed)
