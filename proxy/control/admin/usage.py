"""What everybody who is limited has taken: rates, slots, budgets and quotas, and a quota or a budget begun anew.

It is read from the memory that all workers of this host share, which knows of other hosts what was booked some seconds
ago. A reset is written to the ledger too, so the database follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from proxy.control.admin import intake, paging
from proxy.control.admin.access import Permission, may_touch
from proxy.control.admin.body import fields
from proxy.control.admin.refusal import missing, wrong
from proxy.control.admin.trail import note
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.control.showing import MICRO, dollars
from proxy.core import periods
from proxy.core.clock import now
from proxy.ledger.records import Adjust, Charged, frame
from proxy.ledger.spool import Full
from proxy.limits.subjects import (
    of_credential,
    of_deployment,
    of_everything,
    of_key,
    of_model,
    of_team,
    subject,
)
from proxy.limits.terms import Used

if TYPE_CHECKING:
    from proxy.control.admin.paging import Key
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.core.model import Quota, Snapshot, VirtualKey
    from proxy.limits.accounts import Accounts
    from proxy.limits.subjects import Subject
    from proxy.limits.terms import View
    from proxy.state.state import State

SCOPES: Final = ("credential", "deployment", "global", "key", "model", "team")
FILTERS: Final = ("scope", "name", "team", "ids")
TURN: Final = 500
"""Keys looked at between two turns of the loop."""


async def show(request: Request, services: Services) -> Answer:
    """A page of those who are limited, and what they have taken."""
    page = paging.asked(request, FILTERS)
    scope = page.filters.get("scope", "")
    if scope and scope not in SCOPES:
        raise wrong("scope", f"one of {', '.join(SCOPES)} is expected")
    after = _after(page.after)
    state = services.state
    chosen = await _first(
        _everybody(state.snapshot, scope),
        partial(_wanted, request, page.filters, after),
        page.limit + 1,
    )
    following = None
    if len(chosen) > page.limit:
        following = paging.cursor((0, chosen[page.limit - 1][0]))
    data = []
    async for _, make in turns(chosen[: page.limit]):
        subject = make()
        if subject is not None:
            data.append(shown(subject, state))
    known = state.accounts is not None and state.accounts.known
    return Answer({"data": data, "next": following, "known": known})


Made = Callable[[], "Subject | None"]
Found = tuple[str, str, str, Made]
"""Its id, its name, its team (empty: none of a team's), and how its subject is made."""


def _everybody(snapshot: Snapshot, scope: str = "") -> Iterator[Found]:
    """All there are, limited or not."""
    if scope in ("", "global"):
        yield "global:global", "global", "", lambda: of_everything(snapshot)
    if scope in ("", "team"):
        for name, limits in snapshot.teams.items():
            yield f"team:{name}", name, name, partial(of_team, name, limits)
    if scope in ("", "model", "deployment"):
        yield from _models(snapshot, scope)
    if scope in ("", "credential"):
        for provider in snapshot.providers.values():
            for one in provider.credentials:
                yield f"credential:{one.id}", one.id, "", partial(of_credential, one)
    if scope in ("", "key"):
        for key in snapshot.keys.values():
            if key.rpm or key.tpm or key.concurrency or key.budget is not None:
                yield f"key:{key.id}", key.name, key.team, partial(of_key, key)


def _models(snapshot: Snapshot, scope: str) -> Iterator[Found]:
    models = {model.name: model for model in snapshot.models.values()}
    models.update((model.name, model) for _, model in snapshot.wildcards)
    for model in models.values():
        if scope != "deployment":
            yield f"model:{model.name}", model.name, "", partial(of_model, model)
        for one in model.own if scope != "model" else ():
            yield f"deployment:{one.id}", one.id, "", partial(of_deployment, one)


def _wanted(request: Request, filters: Any, after: str, found: Found) -> bool:
    id, name, team, make = found
    if id <= after or filters.get("name", name) != name or filters.get("team", team) != team:
        return False
    # (An id may have commas itself. What is there beside it does no harm: each says its id.)
    if "ids" in filters and f",{id.partition(':')[2]}," not in f",{filters['ids']},":
        return False
    if request.who.team and not (team and may_touch(request.who, team)):
        return False
    return id.startswith("key:") or make() is not None


async def _first(
    found: Iterable[Found], wanted: Callable[[Found], bool], limit: int
) -> list[tuple[str, Made]]:
    """The first so many in the order of their ids. There may be a hundred thousand: others have a turn in between."""
    best: dict[str, Made] = {}
    for number, one in enumerate(found, 1):
        if wanted(one):
            best[one[0]] = one[3]
        if number % TURN == 0:
            if len(best) > limit:
                best = dict(sorted(best.items())[:limit])
            await asyncio.sleep(0)
    return sorted(best.items())[:limit]


def _after(key: Key | None) -> str:
    if key is None:
        return ""
    if key[0] != 0:
        raise wrong("after", "this is not a cursor: take it from 'next' of a page")
    return str(key[1])


# --- one of them ---


def shown(subject: Subject, state: State) -> dict[str, Any]:
    """What it may take and what it has."""
    accounts = state.accounts
    moment = now()
    view = None if accounts is None else accounts.view(subject)
    shown: dict[str, Any] = {
        "scope": subject.kind,
        "name": subject.name,
        "id": subject.id.partition(":")[2],
        "rpm": subject.rpm or None,
        "tpm": subject.tpm or None,
        "concurrency": subject.concurrency or None,
        "inflight": 0 if view is None else view.inflight,
        "budget": None,
        "quota": None,
    }
    budget, quota = subject.budget, subject.quota
    if budget is not None:
        spent, reserved = (0, 0) if view is None else (view.spent, view.reserved)
        limit = round(budget.usd * MICRO)
        shown["budget"] = {
            "limit": budget.usd,
            "spent": dollars(spent),
            "spent_micro": spent,
            "reserved": dollars(reserved),
            "remaining": dollars(max(limit - spent, 0)),
            "strict": budget.strict,
            **_window(periods.of_budget(budget, moment)),
        }
    if quota is not None:
        shown["quota"] = _quota(quota, view)
    return shown


def _quota(quota: Quota, view: View | None) -> dict[str, int | None]:
    requests, tokens = (0, 0) if view is None else (view.quota_requests, view.quota_tokens)
    return {
        "requests": requests,
        "limit_requests": quota.requests or None,
        "tokens": tokens,
        "limit_tokens": quota.tokens or None,
        **_window(periods.of_quota(quota, now())),
    }


def of_quota(deployment: str, quota: Quota | None, state: State) -> dict[str, Any] | None:
    """What a deployment has used of its quota, in the window that runs; None where it has none."""
    one = subject("deployment", deployment, deployment, None, quota)
    if one is None or quota is None:
        return None
    return _quota(quota, None if state.accounts is None else state.accounts.view(one))


def _window(window: periods.Window) -> dict[str, int | None]:
    """Unix times; null: it has no beginning, or no end."""
    return {"start": window.start or None, "ends": window.ends or None}


async def of_key_called(id: str, name: str, state: State) -> dict[str, Any] | None:
    """Of one virtual key, for its page; None where nothing is limited, or the key is not served."""
    key = await _find(state.snapshot, id, name)
    subject = None if key is None else of_key(key)
    if subject is None:
        return None
    said = shown(subject, state)
    return {name: said[name] for name in ("inflight", "budget")}


async def _find(snapshot: Snapshot, id: str, name: str) -> VirtualKey | None:
    for number, key in enumerate(snapshot.keys.values(), 1):
        if key.id == id and key.name == name:
            return key
        if number % TURN == 0:
            await asyncio.sleep(0)
    return None


# --- a reset ---


async def reset(request: Request, services: Services) -> Answer:
    """Forget what was counted in the window that runs: a quota's requests and tokens, a budget's money."""
    intake.known(request)
    scope, name = _named(fields(request))
    subject, team = _subject(request, services, scope, name)
    accounts = services.state.accounts
    if accounts is None:
        raise Problem(409, "conflict", "Nothing is counted here.")
    if not accounts.known:
        raise Problem(503, "store_down", "What was used before is not known yet: try again later.")
    if subject.budget is None and subject.quota is None:
        raise Problem(409, "conflict", f"The {scope} '{name}' has neither a quota nor a budget.")
    if subject.budget is not None and services.state.shares is not None:
        raise Problem(
            409, "conflict", "The budget is counted in 'shared.url', for several hosts, and stays."
        )
    before = shown(subject, services.state)
    store = services.sync.store
    if store is not None:
        # Before it is done: nothing is changed that nobody could be asked about.
        async with store.transaction() as session:
            said = _counted(before) | ({"team": team} if team else {})
            await note(session, request, "usage.reset", scope, name=name, before=said)
    _begin_anew(subject, accounts, services.state)
    return Answer({"before": before, "now": shown(subject, services.state)})


def _counted(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("budget", "quota") if said[name] is not None}


def _named(body: dict[str, Any]) -> tuple[str, str]:
    """Whom the body names: `{"deployment": "m/0:lab"}`."""
    for name, value in body.items():
        if name not in SCOPES:
            raise wrong(name, f"there is no such field here; there are {', '.join(SCOPES)}")
        if name == "global":
            if value is not True:
                raise wrong(name, "true is expected")
        elif not isinstance(value, str) or not value:
            raise wrong(name, "a name is expected")
    if len(body) != 1:
        raise wrong("", f"exactly one of {', '.join(SCOPES)} is expected")
    ((scope, value),) = body.items()
    return scope, "global" if scope == "global" else value


def _subject(request: Request, services: Services, scope: str, name: str) -> tuple[Subject, str]:
    """By its id, or by its name; and whose it is. Raises Problem 404; also for what is another team's."""
    named: tuple[Subject, str] | None = None
    there = False
    for id, called, team, make in _everybody(services.state.snapshot, scope):
        if name not in (called, id.partition(":")[2]):
            continue
        if request.who.team and not (team and may_touch(request.who, team)):
            continue
        there = True
        subject = make()
        named = named if subject is None else (subject, team)
    if named is None:
        if there:
            raise Problem(
                409, "conflict", f"The {scope} '{name}' has neither a quota nor a budget."
            )
        raise missing(scope, name)
    return named


def _begin_anew(subject: Subject, accounts: Accounts, state: State) -> None:
    """In memory and in the ledger. Raises Problem 503 where there is no room for the record: what has none is not done."""
    for what in ("quota", "budget"):
        if getattr(subject, what) is None:
            continue
        charge, used = accounts.reset(subject, what)
        if state.spool is None or used == Used(requests=0):
            continue
        where = Charged(charge.subject, charge.window, charge.ends)
        record = Adjust(str(uuid4()), now(), where, -used.requests, -used.tokens, -used.micro)
        try:
            state.spool.append(frame(record), vital=True)
        except Full:
            accounts.charge([charge], used)
            raise Problem(
                503, "store_down", "The ledger has no room for it: nothing was changed."
            ) from None


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/usage",
        Permission.READ,
        show,
        "List who is limited, and what each has taken.",
        aliases=("/admin/limits",),
        answer={"$ref": "#/components/schemas/usage_page"},
        query={
            **paging.parameters(FILTERS),
            "scope": {"enum": list(SCOPES)},
            "ids": {"type": "string", "description": "Ids, with commas between them."},
        },
        tag="usage",
    ),
    Route(
        "POST",
        "/admin/usage/reset",
        Permission.OPERATE,
        reset,
        "Begin a quota or a budget anew, before its time.",
        body={"$ref": "#/components/schemas/usage_reset"},
        answer={"$ref": "#/components/schemas/usage_reset_done"},
        tag="usage",
    ),
)
