"""Service tokens: what programs present to the admin API, with a role, a date they end on, and fewer rights if asked.

`sk-hra-…`, shown once, kept as an HMAC under a pepper that is not in the store in the clear. They are looked up at
every request, so a token that is revoked is refused by all workers at once.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

import msgspec

from proxy.control.admin.access import Permission, Principal, role_of
from proxy.control.admin.web import Problem, Route
from proxy.core import virtual_key
from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.core.virtual_key import Pepper
    from proxy.store.base import Row, Store

LONGEST = 366 * 86_400.0
"""Seconds a token may live."""
STEP = 60.0
"""Seconds the clock may jump without a token ending early."""

_FIND = "SELECT name, digest, role, scopes, team, expires, enabled FROM tokens WHERE digest = $1"


async def find(token: str, store: Store, peppers: tuple[Pepper, ...]) -> Principal | None:
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
    if expires + STEP <= now():
        raise Problem(403, "token_expired", "This token has expired.")
    known = role_of(role)
    if known is None:
        return None
    return Principal(f"service:{name}", known, team, _scopes(scopes))


def _scopes(text: str) -> frozenset[Permission] | None:
    """What a row says; a word that this version does not know is no right."""
    if not text:
        return None
    words = msgspec.json.decode(text, type=list[str])
    return frozenset(one for one in Permission if one.value in words)


ROUTES: tuple[Route, ...] = ()
