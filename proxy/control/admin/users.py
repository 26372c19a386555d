"""Users: people who sign in with a password. Only who has the permission `users` sees or changes them.

Nobody gives rights they do not have, the last owner stays, and a new password, role, team or state ends all sessions
of its user. The account of the configuration (`admin.username`) is none of these rows and is changed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from pydantic import SecretStr

from proxy.control.admin import people, sessions
from proxy.control.admin.access import Permission, Role, needs_power
from proxy.control.admin.lockout import follow, forgive
from proxy.control.admin.people import Password, User, check_password, find
from proxy.control.admin.services import needs_store
from proxy.control.admin.strict import Body, Name, Team, read
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.core.clock import now
from proxy.store.base import Duplicate
from proxy.store.objects import lock

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request


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


async def list_users(request: Request, services: Services) -> Answer:
    """Every user, by name."""
    found = await people.every(needs_store(services))
    return Answer({"data": [user.shown() for user in found]})


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
            user = replace(user, id=await people.insert(session, user, kept))
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
        await people.keep_an_owner(session, services.state.snapshot.admin, user)
        await people.delete(session, user.id)
        await note(session, request, "delete", "user", user.id, user.name, before=user.shown())
    return Answer(status=204)


async def list_sessions(request: Request, services: Services) -> Answer:
    """Where a user is signed in."""
    store = needs_store(services)
    user = await find(store, request.params["id"])
    rows = await sessions.of_user(store, user.id)
    return Answer({"data": [dict(zip(sessions.SHOWN, row, strict=True)) for row in rows]})


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
        needs_power(request.who, user.role, user.team)
        await forgive(session, user.name)
        await note(session, request, "unlock", "user", user.id, user.name)
    return Answer(status=204)


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
                await people.keep_an_owner(session, services.state.snapshot.admin, before)
            await people.update(session, before, after, kept)
            await follow(session, before.name, after.name)
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


def _taken(name: str) -> Problem:
    return Problem(409, "conflict", f"There is a user '{name}' already.")


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
