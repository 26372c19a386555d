"""Users: people who sign in with a password. Only who has the permission `users` sees or changes them.

Nobody gives rights they do not have, the last owner stays, and a new password, role, team or state ends all sessions
of its user. The account of the configuration (`admin.username`) is none of these rows and is changed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import Field, SecretStr

from proxy.control.admin import sessions
from proxy.control.admin.access import Permission, Role, needs_power
from proxy.control.admin.lockout import forgive
from proxy.control.admin.passwords import LONGEST, SHORTEST
from proxy.control.admin.services import needs_store
from proxy.control.admin.strict import Body, Name, Team, read
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.core.clock import now
from proxy.core.records import is_id
from proxy.store.base import ADMIN_TIMEOUT, Duplicate
from proxy.store.objects import lock

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.store.base import Row, Session

Password = Annotated[SecretStr, Field(min_length=SHORTEST, max_length=LONGEST)]


class NewUser(Body):
    """Who is to be made."""

    name: Name
    role: Role
    team: Team = ""
    enabled: bool = True
    password: Password


class WholeUser(Body):
    """All of a user; the password only if it changes."""

    name: Name
    role: Role
    team: Team = ""
    enabled: bool = True
    password: Password = SecretStr("")


class SomeOfUser(Body):
    """What is to change. What is not given stays."""

    name: Name = ""
    role: Role = Role.VIEWER
    team: Team = ""
    enabled: bool = True
    password: Password = SecretStr("")


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
        """Whether it can do everything."""
        return self.enabled and self.role == Role.OWNER.value

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


async def list_users(request: Request, services: Services) -> Answer:
    """Every user, by name."""
    rows = await needs_store(services).fetch(_ALL, timeout=ADMIN_TIMEOUT)
    return Answer({"data": [_user(row).shown() for row in rows]})


async def get_user(request: Request, services: Services) -> Answer:
    """One user, by id or name."""
    return Answer((await find(needs_store(services), request.params["id"])).shown())


async def create_user(request: Request, services: Services) -> Answer:
    """A new user."""
    body = read(NewUser, request)
    store = needs_store(services)
    time = now()
    user = User(0, body.name, body.role.value, body.team, body.enabled, time, time, time)
    _check(request, services, user)
    check_password(body.password, user.name)
    with services.door.gate.place():
        kept = await services.door.gate.hash(body.password.get_secret_value())
    try:
        async with store.transaction() as session:
            rows = await session.fetch(
                "INSERT INTO users (name, password, role, team, enabled, created, updated, changed)"
                " VALUES ($1, $2, $3, $4, $5, $6, $6, $6) RETURNING id",
                user.name,
                kept,
                user.role,
                user.team,
                int(user.enabled),
                time,
            )
            user = replace(user, id=rows[0][0])
            await note(session, request, "create", "user", user.id, user.name, after=user.shown())
    except Duplicate:
        raise _taken(user.name) from None
    return Answer(user.shown(), 201, {"location": f"/admin/users/{user.id}"})


async def put_user(request: Request, services: Services) -> Answer:
    """All of a user anew."""
    return await _change(request, services, read(WholeUser, request), whole=True)


async def patch_user(request: Request, services: Services) -> Answer:
    """Some of a user anew."""
    return await _change(request, services, read(SomeOfUser, request), whole=False)


async def delete_user(request: Request, services: Services) -> Answer:
    """A user away, and all its sessions."""
    async with needs_store(services).transaction() as session:
        await lock(session)
        user = await find(session, request.params["id"])
        needs_power(request.who, user.role, user.team)
        await _keep_an_owner(session, services, user)
        await session.execute("DELETE FROM users WHERE id = $1", user.id)
        await sessions.end_all(session, user.id)
        await note(session, request, "delete", "user", user.id, user.name, before=user.shown())
    return Answer(status=204)


async def list_sessions(request: Request, services: Services) -> Answer:
    """Where a user is signed in."""
    store = needs_store(services)
    user = await find(store, request.params["id"])
    rows = await store.fetch(
        "SELECT created, seen, expires, peer, agent FROM sessions WHERE user_id = $1 ORDER BY seen DESC",
        user.id,
        timeout=ADMIN_TIMEOUT,
    )
    names = ("created", "seen", "expires", "peer", "agent")
    return Answer({"data": [dict(zip(names, row, strict=True)) for row in rows]})


async def end_sessions(request: Request, services: Services) -> Answer:
    """Sign a user out everywhere."""
    async with needs_store(services).transaction() as session:
        user = await find(session, request.params["id"])
        needs_power(request.who, user.role, user.team)
        count = await sessions.end_all(session, user.id)
        await note(session, request, "sign_out", "user", user.id, user.name)
    return Answer({"ended": count})


async def unlock(request: Request, services: Services) -> Answer:
    """Forget the failed sign-ins of an account."""
    async with needs_store(services).transaction() as session:
        user = await find(session, request.params["id"])
        await forgive(session, user.name)
        await note(session, request, "unlock", "user", user.id, user.name)
    return Answer(status=204)


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


async def _change(
    request: Request, services: Services, body: WholeUser | SomeOfUser, *, whole: bool
) -> Answer:
    given = type(body).model_fields.keys() if whole else body.model_fields_set
    kept = ""
    if "password" in body.model_fields_set:
        with services.door.gate.place():
            kept = await services.door.gate.hash(body.password.get_secret_value())
    try:
        async with needs_store(services).transaction() as session:
            await lock(session)
            before = await find(session, request.params["id"])
            after = User(
                before.id,
                body.name if "name" in given else before.name,
                body.role.value if "role" in given else before.role,
                body.team if "team" in given else before.team,
                body.enabled if "enabled" in given else before.enabled,
                before.created,
                now(),
                before.changed,
            )
            needs_power(request.who, before.role, before.team)
            _check(request, services, after)
            if kept:
                check_password(body.password, after.name)
            if not after.is_owner:
                await _keep_an_owner(session, services, before)
            await _write(session, before, after, kept)
            await note(
                session,
                request,
                "update",
                "user",
                after.id,
                after.name,
                before=before.shown(),
                after=after.shown() | ({"password": "***"} if kept else {}),
            )
            after = await find(session, str(after.id))
    except Duplicate:
        raise _taken(body.name) from None
    return Answer(after.shown())


async def _write(session: Session, before: User, after: User, kept: str) -> None:
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


async def _keep_an_owner(session: Session, services: Services, user: User) -> None:
    """Raises Problem 409 when this is the last one. The lock is held, so no two go at once."""
    if not user.is_owner or services.state.snapshot.admin.password is not None:
        return
    rows = await session.fetch(
        "SELECT id FROM users WHERE role = $1 AND enabled = 1 AND id <> $2 LIMIT 1",
        Role.OWNER.value,
        user.id,
    )
    if not rows:
        raise Problem(409, "last_owner", "This is the last owner. Make another one first.")


def _check(request: Request, services: Services, user: User) -> None:
    """Raises Problem: 400 for a key manager without a team, 403 for more than one has, 409 for a name in the file."""
    if user.role == Role.KEY_MANAGER.value and not user.team:
        fault = Fault("team", "a key manager needs a team: it has to do with that team's keys only")
        raise Problem(400, "invalid", "The body is not as it has to be.", (fault,))
    needs_power(request.who, user.role, user.team)
    admin = services.state.snapshot.admin
    if admin.password is not None and user.name == admin.username:
        detail = f"'{user.name}' is the name of the account in the configuration (admin.username)."
        raise Problem(409, "conflict", detail)


def check_password(password: SecretStr, name: str) -> None:
    """Raises Problem 400 for one that is tried first."""
    text = password.get_secret_value()
    if text.casefold() == name.casefold() or len(set(text)) == 1:
        fault = Fault("password", "too easy to guess")
        raise Problem(400, "invalid", "The body is not as it has to be.", (fault,))


def _taken(name: str) -> Problem:
    return Problem(409, "conflict", f"There is a user '{name}' already.")


def _user(row: Row) -> User:
    id, name, role, team, enabled, created, updated, changed = row
    return User(id, name, role, team, bool(enabled), created, updated, changed)


_ONE = "/admin/users/{id}"
ROUTES = (
    Route("GET", "/admin/users", Permission.USERS, list_users, "List users.", tag="users"),
    Route(
        "POST",
        "/admin/users",
        Permission.USERS,
        create_user,
        "Make a user.",
        body=NewUser,
        tag="users",
    ),
    Route("GET", _ONE, Permission.USERS, get_user, "Show a user.", tag="users"),
    Route("PUT", _ONE, Permission.USERS, put_user, "Replace a user.", body=WholeUser, tag="users"),
    Route(
        "PATCH", _ONE, Permission.USERS, patch_user, "Change a user.", body=SomeOfUser, tag="users"
    ),
    Route("DELETE", _ONE, Permission.USERS, delete_user, "Delete a user.", tag="users"),
    Route(
        "GET",
        f"{_ONE}/sessions",
        Permission.USERS,
        list_sessions,
        "List its sessions.",
        tag="users",
    ),
    Route(
        "DELETE",
        f"{_ONE}/sessions",
        Permission.USERS,
        end_sessions,
        "End its sessions.",
        tag="users",
    ),
    Route(
        "POST", f"{_ONE}/unlock", Permission.USERS, unlock, "Forget failed sign-ins.", tag="users"
    ),
)
