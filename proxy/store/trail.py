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
    from proxy.store.base import Session

_ADD = """
INSERT INTO audit (at, principal, peer, request, action, kind, object, name, before, after, revision)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


async def add(
    session: Session,
    principal: str,
    action: str,
    kind: str,
    object: int | None = None,
    name: str = "",
    *,
    peer: str = "",
    request: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    revision: int | None = None,
) -> None:
    """Add a row. Raises StoreDown."""
    await session.execute(
        _ADD,
        now(),
        principal,
        peer,
        request,
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
