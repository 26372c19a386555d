"""What a change does to an object, field by field, for people to look at before they agree to it. No secret is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.control.admin.shapes import audited

if TYPE_CHECKING:
    from proxy.core.records import Record

MOST = 200
"""Fields of one object that are told of."""
SECRETS = "secrets"


class Difference(Struct, frozen=True):
    """One field, by its path (`timeouts.ttft`). What was not there, or is no more, is None."""

    field: str
    before: Any
    after: Any


def between(before: Record | None, after: Record) -> tuple[Difference, ...]:
    """What is another: all fields of one that is new, none of one that goes."""
    if after.deleted:
        return ()
    old = {} if before is None else audited(before)
    found = list(_differing("", old, audited(after)))[:MOST]
    was, will_be = (before.sealed if before is not None else ""), after.sealed
    if was != will_be:
        words = (
            "there" if was else None,
            "cleared" if not will_be else "changed" if was else "given",
        )
        found.append(Difference(SECRETS, *words))
    return tuple(found)


def _differing(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """Mappings are gone into; whatever else differs is told as a whole."""
    if isinstance(before, Mapping | None) and isinstance(after, Mapping) and (after or before):
        old = before or {}
        for name in (*old, *(one for one in after if one not in old)):
            below = f"{path}.{name}" if path else str(name)
            yield from _differing(below, old.get(name), after.get(name))
    elif before != after or type(before) is not type(after):
        yield Difference(path, before, after)
