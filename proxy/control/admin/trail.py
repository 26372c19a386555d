"""The audit log: one row for each thing that was changed, written in the transaction that changes it.

`before` and `after` are shown to whoever may read the log, so they never hold a secret: the caller gives what a page
would show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from proxy.core.clock import now

if TYPE_CHECKING:
    from proxy.control.admin.web import Request
    from proxy.store.base import Session

NOBODY = "nobody"


async def note(
    session: Session,
    request: Request,
    action: str,
    kind: str,
    object: int | None = None,
    name: str = "",
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    revision: int | None = None,
    principal: str = "",
) -> None:
    """Add a row. `principal`: who, where the request does not say (a login). Raises StoreDown."""
    if not principal:
        principal = NOBODY if request.principal is None else request.principal.name
    await session.execute(
        "INSERT INTO audit (at, principal, peer, request, action, kind, object, name, before, after, revision)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        now(),
        principal,
        request.peer,
        request.id,
        action,
        kind,
        object,
        name,
        _json(before),
        _json(after),
        revision,
    )


def _json(shown: Mapping[str, Any] | None) -> str | None:
    return None if shown is None else orjson.dumps(shown).decode()
