"""Service tokens: what programs present to the admin API, with a role, a date they end on, and fewer rights if asked.

`sk-hra-…`, shown once, kept as an HMAC under a pepper that is not in the store in the clear. They are looked up at
every request, so a token that is revoked is refused by all workers at once.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import AwareDatetime, Field

from proxy.control.admin.access import Permission, Principal, Role, needs_power, role_of
from proxy.control.admin.services import needs_store
from proxy.control.admin.strict import Body, Name, Team, read
from proxy.control.admin.trail import note
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.core import virtual_key
from proxy.core.clock import now
from proxy.core.records import is_id
from proxy.core.virtual_key import ADMIN_PREFIX
from proxy.store.base import ADMIN_TIMEOUT, Duplicate

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.virtual_key import Pepper
    from proxy.store.base import Row, Session

LONGEST = 366 * 86_400.0
"""Seconds a token may live."""
STEP = 60.0
"""Seconds the clock may jump without a token ending early."""


class NewToken(Body):
    """What is to be made."""

    name: Name
    role: Role
    scopes: list[Permission] | None = Field(default=None, max_length=len(Permission))
    """What is left of the role's permissions; without it, all."""
    team: Team = ""
    expires: AwareDatetime
    """Within 366 days."""


class SomeOfToken(Body):
    """What may change."""

    enabled: bool


class Token(Struct, frozen=True):
    """One row, without its digest."""

    id: int
    name: str
    role: str
    scopes: list[str] | None
    team: str
    last4: str
    created: float
    expires: float
    enabled: bool

    def shown(self) -> dict[str, Any]:
        """As pages and the log have it."""
        return msgspec.structs.asdict(self)


_SELECT = "SELECT id, name, role, scopes, team, last4, created, expires, enabled FROM tokens"
_ALL, _BY_ID, _BY_NAME = (
    _SELECT + " ORDER BY name",
    _SELECT + " WHERE id = $1",
    _SELECT + " WHERE name = $1",
)


async def list_tokens(request: Request, services: Services) -> Answer:
    """Every token, by name; none of them to be used."""
    rows = await needs_store(services).fetch(_ALL, timeout=ADMIN_TIMEOUT)
    return Answer({"data": [_token(row).shown() for row in rows]})


async def get_token(request: Request, services: Services) -> Answer:
    """One token, by id or name."""
    return Answer((await _one(needs_store(services), request.params["id"])).shown())


async def create_token(request: Request, services: Services) -> Answer:
    """A new token: the only time it is shown."""
    body = read(NewToken, request)
    store = needs_store(services)
    if not services.sync.peppers:
        detail = "There is no master key: set 'secrets.keys' in the configuration."
        raise Problem(409, "no_master_key", detail)
    expires = body.expires.timestamp()
    _check(body, expires)
    scopes = None if body.scopes is None else sorted({one.value for one in body.scopes})
    token = Token(
        0, body.name, body.role.value, scopes, body.team, "", now(), expires, enabled=True
    )
    needs_power(request.who, token.role, token.team, _permissions(token.scopes))
    secret = virtual_key.mint(ADMIN_PREFIX)
    kept = virtual_key.kept(secret, services.sync.peppers[0])
    try:
        async with store.transaction() as session:
            rows = await session.fetch(
                "INSERT INTO tokens (name, digest, pepper, last4, role, scopes, team, created, expires)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
                token.name,
                kept.digest,
                kept.pepper,
                kept.last4,
                token.role,
                None if scopes is None else msgspec.json.encode(scopes).decode(),
                token.team,
                token.created,
                token.expires,
            )
            token = replace(token, id=rows[0][0], last4=kept.last4)
            await note(
                session, request, "create", "token", token.id, token.name, after=token.shown()
            )
    except Duplicate:
        raise Problem(409, "conflict", f"There is a token '{body.name}' already.") from None
    content = {**token.shown(), "token": secret.reveal()}
    return Answer(content, 201, {"location": f"/admin/tokens/{token.id}"})


async def patch_token(request: Request, services: Services) -> Answer:
    """Disable a token, or enable it again."""
    body = read(SomeOfToken, request)
    async with needs_store(services).transaction() as session:
        before = await _one(session, request.params["id"])
        needs_power(request.who, before.role, before.team, _permissions(before.scopes))
        after = replace(before, enabled=body.enabled)
        await session.execute(
            "UPDATE tokens SET enabled = $1 WHERE id = $2", int(after.enabled), after.id
        )
        await note(
            session,
            request,
            "update",
            "token",
            after.id,
            after.name,
            before=before.shown(),
            after=after.shown(),
        )
    return Answer(after.shown())


async def delete_token(request: Request, services: Services) -> Answer:
    """Revoke a token."""
    async with needs_store(services).transaction() as session:
        token = await _one(session, request.params["id"])
        needs_power(request.who, token.role, token.team, _permissions(token.scopes))
        await session.execute("DELETE FROM tokens WHERE id = $1", token.id)
        await note(session, request, "delete", "token", token.id, token.name, before=token.shown())
    return Answer(status=204)


_FIND = "SELECT name, digest, role, scopes, team, expires, enabled FROM tokens WHERE digest = $1"


async def find(token: str, store: Session, peppers: tuple[Pepper, ...]) -> Principal | None:
    """Whose token this is; None when it is none of ours.

    Raises Problem 403 (disabled, expired: only who has the token is told so), StoreDown.
    """
    for pepper in peppers:
        digest = virtual_key.digest(token, pepper).hex()
        rows = await store.fetch(_FIND, digest)
        if rows and compare_digest(rows[0][1], digest):
            return _principal(rows[0])
    return None


def _principal(row: Row) -> Principal | None:
    name, _, role, scopes, team, expires, enabled = row
    if not enabled:
        raise Problem(403, "token_disabled", "This token is disabled.")
    if expires is None or expires + STEP <= now():
        raise Problem(403, "token_expired", "This token has expired.")
    known = role_of(role)
    if known is None:
        return None
    return Principal(f"service:{name}", known, team, _permissions(_words(scopes)))


def _check(body: NewToken, expires: float) -> None:
    """Raises Problem 400."""
    faults = []
    if not now() < expires <= now() + LONGEST:
        faults.append(Fault("expires", "within the next 366 days"))
    if body.role is Role.KEY_MANAGER and not body.team:
        faults.append(Fault("team", "a key manager needs one: it has to do with its keys only"))
    if faults:
        raise Problem(400, "invalid", "The body is not as it has to be.", tuple(faults))


async def _one(session: Session, id: str) -> Token:
    by_id = is_id(id)
    rows = await session.fetch(
        _BY_ID if by_id else _BY_NAME, int(id) if by_id else id, timeout=ADMIN_TIMEOUT
    )
    if not rows:
        raise Problem(404, "not_found", "There is no such token.")
    return _token(rows[0])


def _token(row: Row) -> Token:
    id, name, role, scopes, team, last4, created, expires, enabled = row
    return Token(
        id, name, role, _words(scopes), team, last4, created, expires, enabled=bool(enabled)
    )


def _words(text: str | None) -> list[str] | None:
    return None if text is None else msgspec.json.decode(text, type=list[str])


def _permissions(words: list[str] | None) -> frozenset[Permission] | None:
    """A word that this version does not know is no right."""
    return None if words is None else frozenset(one for one in Permission if one.value in words)


_ONE = "/admin/tokens/{id}"
_USERS = Permission.USERS
ROUTES = (
    Route("GET", "/admin/tokens", _USERS, list_tokens, "List service tokens.", tag="tokens"),
    Route(
        "POST",
        "/admin/tokens",
        _USERS,
        create_token,
        "Make a service token.",
        body=NewToken,
        tag="tokens",
    ),
    Route("GET", _ONE, _USERS, get_token, "Show a service token.", tag="tokens"),
    Route(
        "PATCH",
        _ONE,
        _USERS,
        patch_token,
        "Enable or disable a service token.",
        body=SomeOfToken,
        tag="tokens",
    ),
    Route("DELETE", _ONE, _USERS, delete_token, "Revoke a service token.", tag="tokens"),
)
