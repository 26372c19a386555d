"""Sessions of people: a cookie that says nothing, and a row in the store that says everything.

The cookie is 256 random bits. The store has its SHA-256, so a stolen copy of the store opens no session: what is in
there is never accepted as a cookie, it would be hashed once more. A session ends after 30 minutes of silence, after
12 hours, at logout, and when the password, the role or the account of its user changes.

The configuration's own account and its token have no row among the users. The password, or the token, is part of what
their sessions are called, so they end when the configuration has another one.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.control.admin.access import Principal, Role, role_of
from proxy.core.clock import now
from proxy.core.secret import Secret
from proxy.store.base import ADMIN_TIMEOUT

if TYPE_CHECKING:
    from proxy.control.admin.web import Request
    from proxy.core.model import Admin
    from proxy.store.base import Row, Session, Store

COOKIE = "__Host-headrace"
IDLE = 30 * 60.0
LONGEST = 12 * 3600.0
"""Seconds."""
STEP = 60.0
"""Seconds the clock may jump without ending a session."""
SEEN_EVERY = 60.0
"""Seconds between two notes that a session was used."""
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"
_AGENT = 200
"""Characters kept of a browser's name."""


class Opened(Struct, frozen=True):
    """A new session."""

    cookie: Secret
    csrf: Secret
    expires: float


def presented(request: Request) -> str:
    """The cookie of a request, or nothing. Two different ones are nothing: somebody put one beside ours."""
    found = set()
    for pair in request.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            found.add(value)
    return found.pop() if len(found) == 1 else ""


def set_cookie(cookie: Secret) -> str:
    """The header's value. No lifetime: it goes with the browser's window, and the store knows when it ends."""
    return f"{COOKIE}={cookie.reveal()}; {_ATTRIBUTES}"


def clear_cookie() -> str:
    """The header's value that takes it away."""
    return f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}"


def name_of(cookie: str, admin: Admin | None = None) -> str:
    """What a session is called in the store: of a user, or, given the configuration, of its own account."""
    if admin is None or admin.password is None:
        return _hashed(cookie)
    return _hashed(f"{cookie}\0{admin.username}\0{admin.password.reveal()}")


def name_by_token(cookie: str, admin: Admin) -> str:
    """The same of the configuration's token; empty where it has none."""
    return "" if admin.token is None else _hashed(f"{cookie}\0\0{admin.token.reveal()}")


def _hashed(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def begin(
    store: Session, request: Request, user: int, admin: Admin, *, by_token: bool = False
) -> Opened:
    """A session for a user, or (0) for the configuration's own account or token. Raises StoreDown.

    The one the browser came with ends: its id is never the id of somebody who has signed in since.
    """
    time = now()
    opened = Opened(
        Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(32)), time + LONGEST
    )
    await end(store, request, admin)
    cookie = opened.cookie.reveal()
    own = name_by_token if by_token else name_of
    named = name_of(cookie) if user else own(cookie, admin)
    await store.execute(
        "DELETE FROM sessions WHERE expires < $1 OR seen < $2", time - STEP, time - IDLE - STEP
    )
    await store.execute(
        "INSERT INTO sessions (id, user_id, csrf, created, seen, expires, peer, agent)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        named,
        user,
        opened.csrf.reveal(),
        time,
        time,
        opened.expires,
        request.peer,
        _agent(request),
    )
    return opened


def _agent(request: Request) -> str:
    # Header bytes that are no UTF-8 arrive as surrogates, which no database takes.
    text = request.headers.get("user-agent", "")[:_AGENT].encode("utf-8", "replace").decode()
    return "".join(letter for letter in text if letter.isprintable())


async def end(store: Session, request: Request, admin: Admin) -> None:
    """End the session of this request. Raises StoreDown."""
    cookie = presented(request)
    if cookie:
        await store.execute(
            "DELETE FROM sessions WHERE id = $1 OR id = $2 OR id = $3",
            name_of(cookie),
            name_of(cookie, admin),
            name_by_token(cookie, admin),
        )


async def end_all(store: Session, user: int) -> int:
    """End every session of a user; how many there were. Raises StoreDown."""
    return await store.execute("DELETE FROM sessions WHERE user_id = $1", user)


SHOWN = ("created", "seen", "expires", "peer", "agent")
_OF_USER = """
SELECT created, seen, expires, peer, agent FROM sessions
WHERE user_id = $1 AND expires >= $2 AND seen >= $3 ORDER BY seen DESC
"""


async def of_user(store: Session, user: int) -> list[Row]:
    """Every session of a user that is not over, as SHOWN, the one used last first. Raises StoreDown."""
    time = now()
    return await store.fetch(_OF_USER, user, time - STEP, time - IDLE - STEP, timeout=ADMIN_TIMEOUT)


_FIND = """
SELECT s.id, s.user_id, s.csrf, s.created, s.seen, s.expires, u.name, u.role, u.team, u.enabled
FROM sessions s LEFT JOIN users u ON u.id = s.user_id
WHERE s.id = $1 OR s.id = $2 OR s.id = $3
"""


async def find(store: Store, cookie: str, admin: Admin) -> Principal | None:
    """Who has this cookie; None when the session is over or there never was one. Raises StoreDown."""
    own = name_of(cookie, admin) if admin.password is not None else ""
    token = name_by_token(cookie, admin)
    rows = await store.fetch(_FIND, name_of(cookie), own, token)
    if len(rows) != 1:
        return None
    row = rows[0]
    names = {own: f"user:{admin.username}", token: "token"}
    principal = _own(row, names) if row[1] == 0 else _user(row)
    time = now()
    if principal is None or not _runs(row, time):
        return None
    if time - row[4] >= SEEN_EVERY:
        await store.execute("UPDATE sessions SET seen = $1 WHERE id = $2", time, row[0])
    return principal


def _runs(row: tuple[Any, ...], time: float) -> bool:
    created, seen, expires = row[3:6]
    return bool(created <= time + STEP and time <= expires + STEP and time - seen <= IDLE + STEP)


def _own(row: tuple[Any, ...], names: dict[str, str]) -> Principal | None:
    name = names.get(row[0])
    if name is None:
        return None
    return Principal(name, Role.OWNER, session=row[0], csrf=Secret(row[2]), user=0)


def _user(row: tuple[Any, ...]) -> Principal | None:
    id, user, csrf, _, _, _, name, role, team, enabled = row
    known = role_of(role) if enabled else None
    if known is None:
        return None
    return Principal(f"user:{name}", known, team, session=id, csrf=Secret(csrf), user=user)
