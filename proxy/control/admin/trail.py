"""What requests leave in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.store import trail

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
    await trail.add(
        session,
        principal,
        action,
        kind,
        object,
        name,
        peer=request.peer,
        request=request.id,
        before=before,
        after=after,
        revision=revision,
    )
