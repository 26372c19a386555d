"""Every write of configuration objects goes through `apply`: locked, checked against what is there, audited, swapped.

An edit that is wrong stops all of them: a batch is one transaction. The answer to a write is given once this worker
serves by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from proxy.control.admin.draft import Draft, Note
from proxy.control.admin.edits import Create, Delete, Edit, Rotate, Update, Written
from proxy.control.admin.ground import Means
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import Orphaned, outrun
from proxy.control.admin.services import needs_store
from proxy.control.admin.shapes import audited
from proxy.control.admin.trail import note
from proxy.control.admin.web import Fault, Problem
from proxy.core.clock import monotonic
from proxy.core.config.problem import printable
from proxy.core.log import logger
from proxy.core.records import PARENTS, Kind, Record
from proxy.state import unpriced
from proxy.store import delta, objects
from proxy.store.base import Duplicate, StoreDown

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.store.base import Session

__all__ = ["Create", "Delete", "Edit", "Rotate", "Update", "Written", "apply"]

PATIENCE = 2.0
"""Seconds that an answer waits for a store which went away after the write: so long it is only late, not out of date."""
AGAIN = 0.1
"""Seconds between two looks at it."""
QUIET = 1.0
"""Seconds without a word to a database that waits: one ends a transaction that seems to be abandoned (`store.postgres`)."""


async def apply(
    request: Request,
    services: Services,
    edits: Sequence[Edit],
    *,
    dry_run: bool = False,
    places: Sequence[str] | None = None,
    since: int | None = None,
) -> list[Written]:
    """Do all edits or none; one answer each, in order.

    `places` says where in the body each edit was, for the faults: without it that is `[row]`, and nothing for a
    single edit. `since`: what the edits were worked out from is the store up to this revision. One that has got a
    credential or a deployment after it refuses them: these have no name, and would be made a second time.

    Raises Problem: 400 invalid, 403 (no right to this kind, or to another team's key), 404, 409 conflict (a name that is
    taken), read_only (the file has it), referenced, no_master_key, outrun, 412 precondition_failed, 503 store_down or
    no_store.
    """
    store = needs_store(services)
    if places is None:
        places = [f"[{row}]" for row in range(len(edits))] if len(edits) != 1 else [""]
    try:
        async with store.transaction() as session:
            revision = await objects.lock(session)
            mirror = services.sync.mirror
            seen = Overlay(mirror, await delta.read(session, mirror.revision))
            if since is not None and any(map(partial(_has_more, seen, since), PARENTS)):
                raise outrun()
            draft = Draft(seen, revision, _means(request, services))
            written = await _worked_out(session, draft, edits, places)
            if not dry_run and draft.records:
                await _write(session, request, draft)
    except Duplicate:
        raise Problem(409, "conflict", "Somebody has just taken this name.") from None
    if not dry_run and draft.records:
        await _serve(services, draft.revision)
    return _warned(written, services, log=not dry_run)


def _has_more(seen: Overlay, since: int, kind: str) -> bool:
    """Whether there is one that was made after a revision: its id is the one it was made with."""
    return any(one.id > since for one in seen.all(kind))


def _warned(written: list[Written], services: Services, *, log: bool) -> list[Written]:
    """The same, and of each key with a budget what it cannot be spent on. A dry run knows only what is there already."""
    if not any(one.record.kind == Kind.KEY and not one.record.deleted for one in written):
        return written
    snapshot = services.state.snapshot
    unknown = unpriced.models(snapshot)
    if not unknown:
        return written
    found = []
    for one in written:
        record = one.record
        more: tuple[str, ...] = ()
        if record.kind == Kind.KEY and not record.deleted:
            more = unpriced.of_key(orjson.loads(record.spec), unknown, snapshot)
        for warning in more if log else ():
            logger.warning("key %r: %s", printable(record.name), warning)
        found.append(Written(record, one.secret, (*one.warnings, *more)) if more else one)
    return found


def _means(request: Request, services: Services) -> Means:
    sync = services.sync
    known = services.state.snapshot.keys
    return Means(request.who, sync.config, sync.vault, sync.peppers, known)


async def _worked_out(
    session: Session, draft: Draft, edits: Sequence[Edit], places: Sequence[str]
) -> list[Written]:
    written: list[Written] = []
    problems: list[tuple[str, Problem]] = []
    asked = monotonic()
    for edit, place in zip(edits, places, strict=True):
        try:
            written.append(draft.do(edit))
        except Orphaned:
            pass  # its parent is among the problems
        except Problem as problem:
            problems.append((place, problem))
        await asyncio.sleep(0)  # others are served while a batch is worked out
        if monotonic() - asked >= QUIET:
            await objects.mark(session)
            asked = monotonic()
    if problems:
        raise _together(problems, len(edits))
    # A later edit may have changed what an earlier one made.
    records = draft.records
    return [
        Written(records.get((one.record.kind, one.record.id), one.record), one.secret, one.warnings)
        for one in written
    ]


async def _write(session: Session, request: Request, draft: Draft) -> None:
    for record in _renamed(draft):
        # Its name is for another from here on: a row that was changed last is written last.
        await objects.write(session, replace(record, name=""))
    for record in draft.records.values():
        await objects.write(session, record)
    for each in draft.notes:
        await _note(session, request, each)
    await objects.unlock(session, draft.revision)


def _renamed(draft: Draft) -> list[Record]:
    """What will be called otherwise, as it is stored."""
    stored: dict[tuple[str, int], Record | None] = {}
    for each in draft.notes:
        stored.setdefault((each.after.kind, each.after.id), each.before)
    return [
        record
        for key, record in stored.items()
        if record is not None and record.name != draft.records[key].name
    ]


async def _note(session: Session, request: Request, each: Note) -> None:
    record = each.after
    after: Mapping[str, Any] | None = None if record.deleted else audited(record, each.secrets)
    await note(
        session,
        request,
        f"{record.kind}.{each.action}",
        record.kind,
        record.id,
        record.name,
        before=None if each.before is None else audited(each.before),
        after=after,
        revision=record.revision,
    )


async def _serve(services: Services, revision: int) -> None:
    """Wait until this worker serves by it. It is written in any case: an error now would be a lie."""
    until = monotonic() + PATIENCE
    while True:
        try:
            await services.sync.refresh(revision)
        except StoreDown:
            if monotonic() < until:
                await asyncio.sleep(AGAIN)
                continue
            said = "revision %d was written, and the store went away before it was read"
            logger.warning(said, revision)
        return


def _together(problems: Sequence[tuple[str, Problem]], edits: int) -> Problem:
    """One problem for all edits that were refused, each fault with its place."""
    place, worst = next(
        ((place, one) for place, one in problems if one.code != "invalid"), problems[0]
    )
    if edits == 1 and not place:
        return worst
    faults = [
        Fault(_joined(place, fault.field), fault.message)
        for place, one in problems
        for fault in one.faults or (Fault("", one.detail),)
    ]
    detail = worst.detail
    if len(problems) > 1:
        detail = f"{len(problems)} of {edits} are refused, so nothing was changed. {detail}"
    return Problem(worst.status, worst.code, detail, tuple(faults), worst.headers)


def _joined(place: str, field: str) -> str:
    if not place or not field:
        return place or field
    return f"{place}{field}" if field.startswith("[") else f"{place}.{field}"
