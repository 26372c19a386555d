"""Problems that several modules answer with, in words that say what to do instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.control.admin.web import Fault, Problem

if TYPE_CHECKING:
    from proxy.control.admin.access import Permission
    from proxy.control.admin.references import Reference
    from proxy.core.records import Record


class Orphaned(Problem):
    """What it belongs to was refused; nothing is wrong with the object itself."""

    def __init__(self) -> None:
        super().__init__(400, "invalid", "What it belongs to was refused.")


def forbidden(needed: Permission) -> Problem:
    """403."""
    return Problem(403, "forbidden", f"This needs the permission '{needed.value}'.")


def too_many(wait: float, detail: str) -> Problem:
    """429, and when to come back."""
    return Problem(429, "too_many", detail, headers={"retry-after": str(max(1, math.ceil(wait)))})


def store_down(
    detail: str = "The database cannot be reached. Nothing was changed; what is served goes on.",
) -> Problem:
    """503: what needs the database waits for it."""
    return Problem(503, "store_down", detail, headers={"retry-after": "2"})


SETTING_STAYS = "a setting is called as its section is: write the other one at its own path"


def missing(kind: str, target: str) -> Problem:
    """404."""
    return Problem(404, "not_found", f"There is no {kind} '{target}'.")


def stale(revision: int) -> Problem:
    """412."""
    return Problem(
        412,
        "precondition_failed",
        f"It has changed since: it is at revision {revision} now.",
        headers={"etag": f'"{revision}"'},
    )


def read_only(kind: str, name: str) -> Problem:
    """409: what the configuration file says is changed there."""
    return Problem(
        409,
        "read_only",
        f"The {kind} '{name}' is in the configuration file, and its objects are read-only here: "
        "change the file and reload it.",
    )


def referred(record: Record, found: Sequence[Reference]) -> Problem:
    """409: others name it."""
    said = [reference.says for reference in found]
    listed = ", ".join(said[:10]) + (f" and {len(said) - 10} more" if len(said) > 10 else "")
    return Problem(
        409,
        "referenced",
        f"The {record.kind} '{record.name}' is named by {listed}.",
        tuple(Fault(one.field, one.says) for one in found[:50]),
    )


def outrun() -> Problem:
    """409: what was to be done was worked out for a store that is another by now."""
    return Problem(
        409,
        "outrun",
        "Others have just added to what is there. Nothing was changed: send it again.",
    )


def wrong(field: str, message: str) -> Problem:
    """400 for one field."""
    fault = Fault(field, message)
    return Problem(400, "invalid", sentence((fault,)), (fault,))


def sentence(faults: Sequence[Fault]) -> str:
    """What a problem says of them."""
    if len(faults) != 1:
        return f"{len(faults)} fields are wrong."
    return (
        f"{faults[0].field}: {faults[0].message}." if faults[0].field else f"{faults[0].message}."
    )
