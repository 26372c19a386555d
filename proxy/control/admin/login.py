"""Signing in and out, and what one may do about oneself.

A sign-in comes from a page of ours (or says the origin of one): otherwise a foreign page could sign its victim in as
somebody else. Whether the name, the password or the account was wrong is not said, and takes as long either way.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import Field, SecretStr

from proxy.control.admin import people, sessions
from proxy.control.admin.access import Permission
from proxy.control.admin.identify import OWN, is_same_origin
from proxy.control.admin.lockout import follow, forgive, knock
from proxy.control.admin.passwords import HASHED, is_stale
from proxy.control.admin.refusal import too_many
from proxy.control.admin.services import needs_store
from proxy.control.admin.strict import Body, Line, Name, read
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Problem, Route
from proxy.core.log import logger
from proxy.store.base import Duplicate

if TYPE_CHECKING:
    from proxy.control.admin.access import Principal
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.model import Admin
    from proxy.store.base import Session, Store


class Login(Body):
    """Name and password."""

    username: Line
    password: SecretStr = Field(max_length=1024)


class NewPassword(Body):
    """The one so far, and the next."""

    current: SecretStr = Field(max_length=1024)
    password: people.Password


class Me(Body):
    """What everybody may say of themselves. A role is not among it."""

    name: Name


class Account(Struct, frozen=True):
    """What a name stands for, as far as a sign-in goes."""

    user: int = 0
    """0: the configuration's own."""
    kept: str | None = None
    """The hash to verify; None: there is none, and none will do."""
    plain: str | None = None
    """The password itself, as the configuration has it."""
    changed: float = 0.0
    """When a user's became what it is: the same password may be hashed anew."""

    def __repr__(self) -> str:
        return f"Account({self.user})"


async def sign_in(request: Request, services: Services) -> Answer:
    """A session for who knows the password."""
    admin = services.state.snapshot.admin
    if not is_same_origin(request, admin.origins):
        raise Problem(403, "csrf", "Sign in from a page of this origin ('origin' names it).")
    body = read(Login, request)
    door, store = services.door, needs_store(services)
    wait = door.logins.wait(request.peer)
    if wait:
        raise too_many(wait, "Too many sign-ins from this address. Try again later.")
    door.logins.count(request.peer)
    with door.gate.place():
        await knock(store, body.username)
        account = await _account(store, admin, body.username)
        if not await _is_right(services, account, body.password.get_secret_value()):
            raise _wrong(services, request)
        if account.kept is not None and account.user and is_stale(account.kept):
            fresh = await door.gate.hash(body.password.get_secret_value())
            await store.execute(
                "UPDATE users SET password = $1 WHERE id = $2 AND password = $3",
                fresh,
                account.user,
                account.kept,
            )
    async with store.transaction() as session:
        if not await _still(session, account):
            raise _wrong(services, request)
        await forgive(session, body.username)
        opened = await sessions.begin(session, request, account.user, admin)
        who = f"user:{body.username}"
        await note(session, request, "login", "session", account.user, body.username, principal=who)
    principal = await sessions.find(store, opened.cookie.reveal(), admin)
    if principal is None:
        # Disabled or deleted in between.
        raise _wrong(services, request)
    return _signed_in(principal, opened)


async def open_session(request: Request, services: Services) -> Answer:
    """A session for who sends the configuration's token, so that a browser need not keep that."""
    principal, admin = request.who, services.state.snapshot.admin
    if principal != OWN:
        detail = (
            "A session is for people: sign in with a name, or send the token of the configuration."
        )
        raise Problem(409, "no_session", detail)
    async with needs_store(services).transaction() as session:
        opened = await sessions.begin(session, request, 0, admin, by_token=True)
        await note(session, request, "login", "session", 0, principal.name)
    return _signed_in(replace(principal, csrf=opened.csrf), opened)


async def sign_out(request: Request, services: Services) -> Answer:
    """An end to the session."""
    principal, store = request.who, services.sync.store
    if principal.session and store is not None:
        async with store.transaction() as session:
            await sessions.end(session, request, services.state.snapshot.admin)
            await note(session, request, "logout", "session", principal.user)
    return Answer(status=204, headers={"set-cookie": sessions.clear_cookie()})


async def get_session(request: Request, services: Services) -> Answer:
    """Who is signed in, and the token that changes need."""
    principal = request.who
    csrf = None if principal.csrf is None else principal.csrf.reveal()
    return Answer({**_shown(principal), "csrf": csrf})


async def get_me(request: Request, services: Services) -> Answer:
    """Who asks, and what they may."""
    return Answer(_shown(request.who))


async def put_me(request: Request, services: Services) -> Answer:
    """Another name."""
    body = read(Me, request)
    principal = _self_with_row(request)
    admin = services.state.snapshot.admin
    if admin.password is not None and body.name == admin.username:
        raise _taken()
    try:
        async with needs_store(services).transaction() as session:
            before = await people.find(session, str(principal.user))
            await session.execute(
                "UPDATE users SET name = $1 WHERE id = $2", body.name, principal.user
            )
            await follow(session, before.name, body.name)
            after = await people.find(session, str(principal.user))
            await note(
                session,
                request,
                "update",
                "user",
                after.id,
                after.name,
                before=before.shown(),
                after=after.shown(),
            )
    except Duplicate:
        raise _taken() from None
    return Answer(after.shown())


async def put_password(request: Request, services: Services) -> Answer:
    """Another password: ends all sessions, and begins one for who asked."""
    body = read(NewPassword, request)
    principal = _self_with_row(request)
    door, store = services.door, needs_store(services)
    admin = services.state.snapshot.admin
    user = await people.find(store, str(principal.user))
    people.check_password(body.password, user.name)
    with door.gate.place():
        await knock(store, user.name)
        account = await _account(store, admin, user.name)
        if account.user != user.id or not await _is_right(
            services, account, body.current.get_secret_value()
        ):
            raise _another()
        kept = await door.gate.hash(body.password.get_secret_value())
    async with store.transaction() as session:
        if not await _still(session, account):
            raise _another()
        await forgive(session, user.name)
        await people.set_password(session, user.id, kept)
        opened = await sessions.begin(session, request, user.id, admin)
        await note(session, request, "password", "user", user.id, user.name)
    again = await sessions.find(store, opened.cookie.reveal(), admin)
    if again is None:
        raise Problem(409, "conflict", "This user was deleted or disabled in between.")
    return _signed_in(again, opened)


async def _account(store: Store, admin: Admin, name: str) -> Account:
    """What a name stands for; the configuration's own account hides a user of the same name."""
    if admin.password is not None and name == admin.username:
        text = admin.password.reveal()
        return Account(kept=text) if text.startswith(HASHED) else Account(plain=text)
    rows = await store.fetch(
        "SELECT id, password, changed FROM users WHERE name = $1 AND enabled = 1", name
    )
    return Account(rows[0][0], rows[0][1], changed=rows[0][2]) if rows else Account()


async def _still(session: Session, account: Account) -> bool:
    """Whether the password that was right still is; nobody changes it before the transaction ends."""
    if not account.user:
        return True
    # Both databases lock for a change, and look at the row again once they have the lock.
    rows = await session.execute(
        "UPDATE users SET changed = changed WHERE id = $1 AND changed = $2 AND enabled = 1",
        account.user,
        account.changed,
    )
    return rows == 1


async def _is_right(services: Services, account: Account, password: str) -> bool:
    hashed = await services.door.gate.verify(account.kept, password)
    if account.plain is None:
        return hashed
    # As written in the configuration. The hash above, which is nobody's, made it take as long.
    return compare_digest(
        account.plain.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass")
    )


def _signed_in(principal: Principal, opened: sessions.Opened) -> Answer:
    content = {**_shown(principal), "csrf": opened.csrf.reveal(), "expires": opened.expires}
    return Answer(content, headers={"set-cookie": sessions.set_cookie(opened.cookie)})


def _shown(principal: Principal) -> dict[str, Any]:
    return {
        "name": principal.name,
        "id": principal.user or None,
        "role": principal.role.value,
        "team": principal.team,
        "permissions": sorted(one.value for one in principal.permissions),
    }


def _self_with_row(request: Request) -> Principal:
    principal = request.who
    if not principal.user:
        detail = "Only users have this. The account and the token of the configuration are changed there."
        raise Problem(409, "no_user", detail)
    return principal


def _wrong(services: Services, request: Request) -> Problem:
    services.state.metrics.auth_failures.child("admin_login").inc()
    logger.warning("admin sign-in from %s failed (request %s)", request.peer, request.id)
    return Problem(401, "wrong_credentials", "The name or the password is wrong.")


def _another() -> Problem:
    return Problem(403, "wrong_password", "The current password is another one.")


def _taken() -> Problem:
    return Problem(409, "conflict", "This name is taken.")


_SELF = Permission.SELF
ROUTES = (
    Route(
        "POST", "/admin/login", Permission.PUBLIC, sign_in, "Sign in.", body=Login, tag="session"
    ),
    Route("POST", "/admin/logout", _SELF, sign_out, "Sign out.", tag="session", statuses=(204,)),
    Route("GET", "/admin/session", _SELF, get_session, "Show the session.", tag="session"),
    Route(
        "POST",
        "/admin/session",
        _SELF,
        open_session,
        "Begin a session with the token of the configuration.",
        tag="session",
        statuses=(200,),
    ),
    Route("GET", "/admin/me", _SELF, get_me, "Show who asks.", tag="session"),
    Route("PUT", "/admin/me", _SELF, put_me, "Change one's name.", body=Me, tag="session"),
    Route(
        "PUT",
        "/admin/me/password",
        _SELF,
        put_password,
        "Change one's password.",
        body=NewPassword,
        tag="session",
    ),
)
